"""The configuration as values: dotted keys opened, defaults filled in, grids spelled out."""

from __future__ import annotations

import datetime
import hashlib
import itertools
import json
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple

import yaml

from .bars import span_ms
from .exact import decimals_of, exact_number, whole_number
from .kinds import Params, complaint, good_timeframe

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
# Below these keys the names are the user's own, and a dot in them means nothing.
FREE_NAMES = {"symbols", "weights", "params", "grid"}


class Symbol(NamedTuple):
    tick: Decimal
    step: Decimal
    quote: str


class Strategy(NamedTuple):
    id: str
    group: str
    kind: str
    timeframe: str
    params: Params
    params_hash: str
    symbols: tuple[str, ...]
    intrabar: bool


class Account(NamedTuple):
    id: str
    strategies: tuple[str, ...]
    fixed_qty: Fraction | None
    notional: Fraction | None
    weights: dict[str, Fraction]
    cap: int | None
    budget: Fraction | None
    fee_bps: Fraction
    slippage_bps: Fraction


class Settings(NamedTuple):
    run_id: str
    start: int | None
    end: int | None
    warmup_ms: int
    base: str
    symbols: dict[str, Symbol]
    strategies: dict[str, Strategy]
    accounts: dict[str, Account]
    grid_left_out: int
    max_entries: int
    sell_requires_long: bool
    reserve_on_open: bool
    reservation_ttl_ms: int
    ttl_days: int
    zone: str


def nested(config: dict[str, Any]) -> dict[str, Any]:
    """The same configuration without dotted keys."""
    result: dict[str, Any] = {}
    for key, value in config.items():
        words = str(key).split(".")
        if isinstance(value, dict) and words[-1] not in FREE_NAMES:
            value = nested(value)
        target = result
        for word in words[:-1]:
            target = target.setdefault(word, {})
        last = words[-1]
        if isinstance(value, dict) and isinstance(target.get(last), dict):
            merge(target[last], value)
        else:
            target[last] = value
    return result


def merge(target: dict[str, Any], more: dict[str, Any]) -> None:
    for key, value in more.items():
        if isinstance(value, dict) and isinstance(target.get(key), dict):
            merge(target[key], value)
        else:
            target[key] = value


def number(value: object, default: object = None) -> Decimal:
    result = exact_number(default if value is None else value)
    if result is None:
        raise ValueError(f"not a number: {value!r}")
    return result


def whole(value: object) -> int:
    result = whole_number(value)
    if result is None:
        raise ValueError(f"not a whole number: {value!r}")
    return result


def moment(value: object) -> int | None:
    """Epoch milliseconds of a time as YAML may read it; a time without zone is UTC."""
    if value is None or isinstance(value, int):
        return value
    if isinstance(value, str):
        value = datetime.datetime.fromisoformat(value)
    elif isinstance(value, datetime.date) and not isinstance(value, datetime.datetime):
        value = datetime.datetime(value.year, value.month, value.day)
    assert isinstance(value, datetime.datetime)
    aware = value if value.tzinfo else value.replace(tzinfo=datetime.UTC)
    return (aware - EPOCH) // datetime.timedelta(milliseconds=1)


def read_symbol(name: str, given: dict[str, Any] | None) -> Symbol:
    given = given or {}
    tick = number(given.get("price_tick"), "1e-8")
    step = number(given.get("qty_step"), "1e-8")
    if tick <= 0 or step <= 0 or decimals_of(tick) + decimals_of(step) > 18:
        raise ValueError(f"{name}: tick and step need to be positive, with at most 18 decimals")
    return Symbol(tick, step, given.get("quote") or name[-3:])


def params_hash(params: Params) -> str:
    text = json.dumps(params, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:12]


def printed(value: object) -> str:
    """A value as YAML prints it."""
    return yaml.safe_dump(value, width=10**6).splitlines()[0]


def combinations(given: dict[str, Any]) -> list[Params]:
    """The varied parameters of each combination of a `grid`, or of each of the `sets`."""
    if "sets" in given:
        return [dict(params) for params in given["sets"]]
    names = sorted(given["grid"])
    axes = [v if isinstance(v, list) else [v] for v in (given["grid"][name] for name in names)]
    return [dict(zip(names, values, strict=True)) for values in itertools.product(*axes)]


def read_strategies(
    given: dict[str, Any], symbols: dict[str, Symbol], base: str
) -> tuple[list[Strategy], int]:
    """The strategies that one entry stands for, and how many of its grid were left out."""
    base_ms = span_ms(base)
    timeframe = str(given.get("timeframe") or base)
    if not good_timeframe(timeframe, base_ms):
        raise ValueError(f"{given['id']}: no timeframe: {timeframe!r}")
    names = tuple(given.get("symbols") or symbols)
    if not set(names) <= set(symbols):
        raise ValueError(f"{given['id']}: unknown symbols in {names}")
    intrabar = bool(given.get("intrabar")) and span_ms(timeframe) > base_ms
    fixed = dict(given.get("params") or {})
    many = "grid" in given or "sets" in given
    result: list[Strategy] = []
    left_out = 0
    for varied in combinations(given) if many else [{}]:
        params = {**fixed, **varied}
        problem = complaint(given["kind"], params, base_ms)
        if problem is not None and "grid" in given:
            left_out += 1
            continue
        if problem is not None:
            raise ValueError(f"{given['id']}: {problem}")
        parts = [f"{name}={printed(varied[name])}" for name in sorted(varied)]
        identity = given["id"] + ("/" + ",".join(parts) if many else "")
        digest = params_hash(params)
        kind = given["kind"]
        result.append(
            Strategy(identity, given["id"], kind, timeframe, params, digest, names, intrabar)
        )
    return result, left_out


def read_account(
    given: dict[str, Any], strategies: dict[str, Strategy], global_cap: int | None
) -> Account:
    wanted = given.get("strategies") or []
    known = set(strategies) | {strategy.group for strategy in strategies.values()}
    if not set(wanted) <= known:
        raise ValueError(f"{given['id']}: unknown strategies in {wanted}")
    followed = tuple(s.id for s in strategies.values() if s.id in wanted or s.group in wanted)
    weights = given.get("weights") or {}
    resolved = {
        id_: Fraction(number(weights.get(id_, weights.get(strategies[id_].group, 1))))
        for id_ in followed
    }
    limits = given.get("limits") or {}
    cap = None if given["id"].startswith("paper:") else global_cap
    if "maxOpenPositions" in limits:
        own = limits["maxOpenPositions"]
        cap = None if own is None else whole(own)
    budget = limits.get("maxNotional")
    sizing = given["sizing"]
    if ("fixed_qty" in sizing) == ("notional" in sizing):
        raise ValueError(f"{given['id']}: sizing needs either fixed_qty or notional")
    slippage = Fraction(number(given.get("slippage_bps"), 0))
    if slippage >= 10_000:
        raise ValueError(f"{given['id']}: slippage_bps must be below 10000")
    return Account(
        id=given["id"],
        strategies=followed,
        fixed_qty=Fraction(number(sizing["fixed_qty"])) if "fixed_qty" in sizing else None,
        notional=Fraction(number(sizing["notional"])) if "notional" in sizing else None,
        weights=resolved,
        cap=cap,
        budget=None if budget is None else Fraction(number(budget)),
        fee_bps=Fraction(number(given.get("fee_bps"), 0)),
        slippage_bps=slippage,
    )


def read_settings(config: dict[str, Any]) -> Settings:
    """The settings of a run. Raises ValueError on what the semantics refuse before a run."""
    config = nested(config)
    run, gate = config["run"], config.get("tradepicker") or {}
    base = str((config.get("prices") or {}).get("timeframe") or "1m")
    symbols = {name: read_symbol(name, given) for name, given in config["symbols"].items()}
    strategies: dict[str, Strategy] = {}
    left_out = 0
    for given in config.get("strategies") or []:
        made, senseless = read_strategies(given, symbols, base)
        left_out += senseless
        for strategy in made:
            if strategy.id in strategies:
                raise ValueError(f"strategy {strategy.id} stands twice")
            strategies[strategy.id] = strategy
    cap = gate.get("maxOpenPositions", 3)
    accounts: dict[str, Account] = {}
    for given in config.get("accounts") or []:
        given = nested(given)
        copies = [given]
        if given.get("shadow"):
            copies.append({**given, "id": "paper:" + given["id"], "limits": {}})
        for copy in copies:
            if copy["id"] in accounts:
                raise ValueError(f"account {copy['id']} stands twice")
            accounts[copy["id"]] = read_account(
                copy, strategies, None if cap is None else whole(cap)
            )
    for account in accounts.values():
        if account.budget is not None and len(quotes_of(account, strategies, symbols)) > 1:
            raise ValueError(f"{account.id}: maxNotional needs one quote currency")
    warmup = run.get("warmup")
    return Settings(
        run_id=str(run["id"]),
        start=moment(run.get("start")),
        end=moment(run.get("end")),
        warmup_ms=0 if str(warmup or 0) == "0" else span_ms(str(warmup)),
        base=base,
        symbols=symbols,
        strategies=strategies,
        accounts=accounts,
        grid_left_out=left_out,
        max_entries=whole(gate.get("maxEntries", 0)),
        sell_requires_long=gate.get("sellRequiresLong", True),
        reserve_on_open=gate.get("reserveOnOpen", True),
        reservation_ttl_ms=whole(gate.get("reservationTtlMs", 300_000)),
        ttl_days=whole((config.get("dedupe") or {}).get("ttlDays", 7)),
        zone=(config.get("report") or {}).get("zone") or "Europe/Oslo",
    )


def quotes_of(
    account: Account, strategies: dict[str, Strategy], symbols: dict[str, Symbol]
) -> set[str]:
    """The quote currencies of all symbols that the account's strategies run on."""
    followed = (strategies[id_] for id_ in account.strategies)
    return {symbols[name].quote for strategy in followed for name in strategy.symbols}
