"""Weights that timm and torchvision download: whether they are on this machine, and whether their host answers.

Without a network their clients repeat a failed connection for about a minute, or wait without limit. So the host is
asked once before weights are downloaded that are not on this machine, and not at all for those that are.
"""

from __future__ import annotations

import os
import queue
import ssl
import threading
import urllib.error
import urllib.request
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from torch import hub

from bglab.errors import EXPECTED_ERRORS, MissingData

Loaded = TypeVar("Loaded")

#: Seconds that a host has to answer, unless ``HF_HUB_ETAG_TIMEOUT`` says another number.
PATIENCE_S = 4.0


@dataclass(frozen=True)
class Download:
    """The file of some weights, on this machine or not.

    Attributes:
        name: URI of the weights.
        address: URL of the file.
        folder: Folder of the client's cache.
        setting: Environment variable that names another folder.
        file: The file in that folder, or None if it is not there.
    """

    name: str
    address: str
    folder: Path
    setting: str
    file: Path | None


def of_hub(name: str, repository: str, filename: str | None = None) -> Download:
    """Describe weights on the Hugging Face Hub, where timm looks for one file after another.

    Args:
        name: URI of the weights.
        repository: Name of the repository, with ``@REVISION`` if it is not the default one.
        filename: File in it; None stands for the names that timm knows.
    """
    import huggingface_hub
    from huggingface_hub import constants

    repo, _, revision = repository.partition("@")
    names = [filename] if filename else ["model.safetensors", "pytorch_model.bin"]
    cached = (huggingface_hub.try_to_load_from_cache(repo, each, revision=revision or None) for each in names)
    file = next((Path(path) for path in cached if isinstance(path, str)), None)
    address = huggingface_hub.hf_hub_url(repo, names[0], revision=revision or None)
    return Download(name, address, Path(constants.HF_HUB_CACHE), "HF_HUB_CACHE", file)


def of_address(name: str, address: str) -> Download:
    """Describe weights that torch.hub downloads from an address.

    Args:
        name: URI of the weights.
        address: URL of their file.
    """
    folder = Path(hub.get_dir()) / "checkpoints"
    file = folder / Path(urlsplit(address).path).name
    return Download(name, address, folder, "TORCH_HOME", file if file.is_file() else None)


def load_weights(download: Download, load: Callable[[], Loaded]) -> Loaded:
    """Load weights, after asking their host whether it answers if they have to be downloaded.

    Args:
        download: The file of the weights.
        load: Loads them, and downloads them if they are not on this machine.

    Raises:
        MissingData: If they are not on this machine and cannot be downloaded.
        BadInput: If ``load`` raises it, and likewise `UnknownName`: the weights are here, but not usable.
    """
    if download.file is None:
        problem = why_unreachable(download.address)
        if problem:
            host = urlsplit(download.address).hostname
            raise _missing(download, f"{host} cannot be reached: {problem}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return load()
    except EXPECTED_ERRORS:
        raise  # sentences of our own about what was loaded
    except Exception as problem:  # noqa: BLE001 - hub clients raise many types when there is no network
        reason = str(problem).splitlines()[0][:160] if str(problem) else type(problem).__name__
        if download.file is not None:
            raise MissingData(
                f"expected the weights of {download.name} in {download.file}, but they cannot be loaded ({reason}); "
                f"to download them again, remove {download.file.resolve()}"
            ) from None
        raise _missing(download, reason) from None


def _missing(download: Download, reason: str) -> MissingData:
    return MissingData(
        f"the weights of {download.name} are not on this machine and could not be fetched ({reason}); go online once, "
        f"copy this cache from a machine that has them: {download.folder} ({download.setting} names another), or use "
        "lite:efficientnet_lite0, whose weights come with pip"
    )


def why_unreachable(address: str) -> str:
    """Ask the host of an address for an answer, through the proxy that the environment names.

    Any answer counts, an error of HTTP as well, since the client that downloads knows better what to do with it.

    Args:
        address: URL to ask for, without downloading it.

    Returns:
        Why there is no answer, in a few words; "" if there is one, or if only the client itself can tell.
    """
    proxies = urllib.request.getproxies()
    scheme = urlsplit(address).scheme
    proxy = proxies.get(scheme) or proxies.get("all", "")
    if proxy and urlsplit(proxy).scheme not in {"", "http", "https"}:
        return ""  # urllib knows no other kinds of proxies
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({scheme: proxy} if proxy else {}), _NoRedirect)
    limit = _patience()
    answers: queue.SimpleQueue[str] = queue.SimpleQueue()
    # a timeout of urllib covers neither the look-up of the name nor a host with many addresses
    asking = threading.Thread(target=lambda: answers.put(_ask(opener, address, limit)), daemon=True)
    asking.start()
    try:
        return answers.get(timeout=limit)
    except queue.Empty:
        return _no_answer(limit)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Take a redirection for the answer that it is."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> None:
        """Follow nothing."""


def _ask(opener: urllib.request.OpenerDirector, address: str, limit: float) -> str:
    try:
        opener.open(urllib.request.Request(address, method="HEAD"), timeout=limit).close()  # noqa: S310 - of the client
    except urllib.error.HTTPError:
        return ""
    except (OSError, HTTPException) as problem:
        inner = problem.reason if isinstance(problem, urllib.error.URLError) else problem
        if isinstance(inner, ssl.SSLCertVerificationError):
            return ""  # the client may know other certificates
        if isinstance(inner, TimeoutError):
            return _no_answer(limit)
        return getattr(inner, "strerror", None) or str(inner) or type(inner).__name__
    return ""


def _patience() -> float:
    """Return how many seconds a host has to answer."""
    named = os.environ.get("HF_HUB_ETAG_TIMEOUT", "")
    return float(named) if named.isdecimal() and int(named) else PATIENCE_S


def _no_answer(limit: float) -> str:
    return f"no answer within {limit:g} s, and HF_HUB_ETAG_TIMEOUT=60 would wait for a minute"
