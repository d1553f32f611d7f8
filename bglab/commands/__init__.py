"""The commands of `bglab`, one file each; a file's ``add`` describes its arguments."""
