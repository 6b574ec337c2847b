"""Check what the settings say of prices against what is known, before anything is counted.

A provider that is misspelt would leave every request of its backend without a price.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping

from svckit.config import ConfigError, nearest
from svckit.settings import Settings


def check_prices(settings: Settings) -> None:
    """Raise `ConfigError` for a provider or model whose prices are not known.

    Takes more than a second where any is named.
    """
    sellers = {
        f"backends: {backend.name}: provider": backend.provider
        for backend in settings.backends
        if backend.provider
    }
    instead = {f"costs: instead_of: {name}": it for name, it in settings.costs.instead_of.items()}
    if settings.costs.instead:
        instead["costs: instead"] = settings.costs.instead
    if sellers or instead:
        _check(sellers, instead)


def _check(sellers: Mapping[str, str], instead: Mapping[str, str]) -> None:
    from metrics_svc.costs.known import models, providers, sells  # noqa: PLC0415  # a slow library

    known = providers()
    of_models = {where: it.partition("/")[::2] for where, it in instead.items()}
    named = {**sellers, **{where: it[0] for where, it in of_models.items()}}
    for where, provider in named.items():
        if provider not in known:
            raise ConfigError(
                f"{where}: no prices are known of {provider!r}; {nearest(provider, known)}"
            )
    for where, (provider, model) in of_models.items():
        if not sells(provider, model):
            near = difflib.get_close_matches(model, models(provider), n=1, cutoff=0.5)
            hint = f"did you mean {provider}/{near[0]}?" if near else "name one that it sells"
            raise ConfigError(f"{where}: {provider} is not known to sell {model!r}; {hint}")
