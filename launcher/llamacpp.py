"""Serve a GGUF model: the genuine llama.cpp HTTP server that the xllamacpp wheel holds.

A process of its own, because the server is C++ code with its own threads. The
router knows it as the backend `llamacpp`.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

from launcher.addresses import require_free
from launcher.exits import RefusedError
from svckit.lifecycle import run, stop_requested
from svckit.logging import get_logger
from svckit.settings import LlamaCpp, Settings

log = get_logger(__name__)

_ERRORS_ONLY = 1
_HTTP_THREADS = 4


def serve(settings: Settings) -> None:
    """Load the model and serve it on loopback until the process is asked to stop."""
    port = settings.llamacpp_port
    require_free({"llamacpp": f"127.0.0.1:{port}"})
    server = _load(settings.llamacpp, port)
    log.info("serving", url=server.listening_address, gguf=str(settings.llamacpp.gguf))
    run(stop_requested())
    del server  # its destructor ends the threads; nobody else holds it


def _load(options: LlamaCpp, port: int) -> Any:
    xllamacpp = _library()
    if options.gguf is None:
        raise RefusedError("llamacpp: no model; name its file with --gguf or llamacpp.gguf")
    if not options.gguf.is_file():
        raise RefusedError(f"llamacpp: {options.gguf}: no such file; --gguf takes a GGUF model")
    try:
        return xllamacpp.Server(_parameters(xllamacpp, options, port))
    except RuntimeError as error:
        raise RefusedError(
            f"llamacpp: {options.gguf}: llama.cpp cannot load it; is it a complete GGUF model, "
            "and is there memory for it?"
        ) from error


def _library() -> ModuleType:
    try:
        import xllamacpp  # noqa: PLC0415  # an extra
    except ImportError as error:
        raise RefusedError(
            "llamacpp: serving a GGUF model needs one more package: "
            "pip install 'local-ai-router[llamacpp]'"
        ) from error
    module: ModuleType = xllamacpp
    return module


def _parameters(xllamacpp: ModuleType, options: LlamaCpp, port: int) -> Any:
    assert options.gguf is not None
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(options.gguf)
    parameters.model_alias = {options.gguf.stem}
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = port
    # llama.cpp divides the window among its slots.
    parameters.n_ctx = options.context * options.parallel
    parameters.n_parallel = options.parallel
    if options.threads:
        parameters.cpuparams.n_threads = options.threads
        parameters.cpuparams_batch.n_threads = options.threads
    parameters.n_threads_http = _HTTP_THREADS
    parameters.use_jinja = True
    parameters.endpoint_metrics = True
    parameters.endpoint_slots = True
    # Keep to the configured window instead of shrinking it silently.
    parameters.fit_params = False
    parameters.offline = True
    parameters.ui = False
    parameters.verbosity = _ERRORS_ONLY
    return parameters
