from .doctor import examine as examine
from .jupyter import run_lab as run_lab
