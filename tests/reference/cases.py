"""Random configurations and bars, good and bad, for product and reference alike."""

import random
from typing import Any

MINUTE = 60_000
START = 1_553_990_400_000  # 2019-03-31 00:00 UTC: the day on which Oslo's clocks go forward
FRAMES = ("1m", "5m", "15m", "1h")


def random_config(rng: random.Random, symbols: list[str], minutes: int) -> dict[str, Any]:
    """A configuration over these symbols; bars are expected from START for some `minutes`."""
    names = [f"k{i}" for i in range(rng.randint(2, 5))]
    config: dict[str, Any] = {
        "run": {"id": f"r{rng.randint(0, 9)}"},
        "prices": {"files": "unused"},
        "symbols": {symbol: _symbol(rng) for symbol in symbols},
        "strategies": [_strategy(rng, name, symbols) for name in names],
        "tradepicker.maxOpenPositions": rng.choice([0, 1, 2, 3, None]),
        "tradepicker.maxEntries": rng.choice([0, 0, 1, 2]),
        "tradepicker.sellRequiresLong": rng.random() < 0.6,
        "tradepicker.reserveOnOpen": rng.random() < 0.7,
        "tradepicker.reservationTtlMs": rng.choice([0, 60_000, 300_000]),
        "engine.outputs": "full",
        "report": {"zone": rng.choice(["Europe/Oslo", "UTC", "America/New_York"])},
    }
    config["accounts"] = [
        _account(rng, f"acct-{i}", names, config["strategies"]) for i in range(rng.randint(1, 3))
    ]
    if rng.random() < 0.5:
        config["run"]["start"] = START + rng.randrange(minutes // 3) * MINUTE
        config["run"]["warmup"] = rng.choice([0, "90m", "6h"])
    if rng.random() < 0.3:
        config["run"]["end"] = START + rng.randrange(minutes // 2, minutes) * MINUTE
    for strategy in config["strategies"]:
        # The reference computes all features anew at every minute: not over a whole day.
        if minutes <= 600 and rng.random() < 0.4:
            strategy["intrabar"] = True
    return config


def _symbol(rng: random.Random) -> dict[str, str]:
    symbol = {}
    if rng.random() < 0.8:
        symbol["price_tick"] = rng.choice(["0.01", "0.001", "0.5", "0.025"])
    if rng.random() < 0.8:
        symbol["qty_step"] = rng.choice(["0.0001", "1", "0.03", "10"])
    if rng.random() < 0.2:
        symbol["quote"] = "EUR"
    return symbol


def _strategy(rng: random.Random, name: str, symbols: list[str]) -> dict[str, Any]:
    kind = rng.choice(list(_PARAMS))
    strategy: dict[str, Any] = {"id": name, "kind": kind, "timeframe": rng.choice(FRAMES[:3])}
    if kind == "ema_cross" and rng.random() < 0.4:
        strategy["grid"] = {"fast": [3, 5, 9], "slow": [5, 13]}
    elif kind == "ema_cross" and rng.random() < 0.4:
        strategy["sets"] = [{"fast": 2, "slow": 7}, {"fast": 4, "slow": 11}]
    else:
        strategy["params"] = _PARAMS[kind](rng)
    if rng.random() < 0.3:
        strategy["symbols"] = rng.sample(symbols, max(1, len(symbols) - 1))
    return strategy


_PARAMS = {
    "ema_cross": lambda rng: {"fast": rng.randint(2, 8), "slow": rng.randint(9, 30)},
    "rsi_reversion": lambda rng: {"period": rng.randint(2, 14), "low": 30, "high": 70},
    "macd_trend": lambda rng: {"fast": rng.randint(3, 6), "slow": rng.randint(8, 13), "signal": 4},
    "bollinger_breakout": lambda rng: {"period": rng.randint(5, 20), "k": rng.choice([1, 1.5, 2])},
    "donchian_breakout": lambda rng: {"entry": rng.randint(3, 20), "exit": rng.randint(2, 10)},
    "trend_pullback": lambda rng: {
        "trend_tf": rng.choice(FRAMES[1:]),
        "trend_ema": rng.randint(2, 6),
        "rsi_period": rng.randint(2, 9),
        "low": 40,
        "high": 60.5,
    },
}


def _account(
    rng: random.Random, name: str, names: list[str], strategies: list[dict[str, Any]]
) -> dict[str, Any]:
    followed = rng.sample(names, rng.randint(1, len(names)))
    account: dict[str, Any] = {
        "id": rng.choice(["", "", "paper:"]) + name,
        "strategies": followed,
        "sizing": rng.choice(
            [{"fixed_qty": "1"}, {"fixed_qty": "0.7"}, {"notional": "1000"}, {"notional": "77.7"}]
        ),
        "fee_bps": rng.choice(["0", "10", "-2.5", "7.77"]),
        "slippage_bps": rng.choice(["0", "1", "12.5"]),
        "start_capital": "5000",
    }
    if rng.random() < 0.4:
        account["weights"] = {rng.choice(followed): "0.5"}
    limits: dict[str, Any] = {}
    if rng.random() < 0.3:
        limits["maxOpenPositions"] = rng.choice([1, 2, None])
    if limits:
        account["limits"] = limits
    if rng.random() < 0.3 and not account["id"].startswith("paper:"):
        account["shadow"] = True
    return account


def add_budget(rng: random.Random, config: dict[str, Any]) -> None:
    """Gives some accounts a budget, where all symbols have one quote."""
    quotes = {one.get("quote", "USD") for one in config["symbols"].values()}
    if len(quotes) == 1:
        for account in config["accounts"]:
            if rng.random() < 0.4:
                account.setdefault("limits", {})["maxNotional"] = rng.choice(["2000", "150"])


def random_rows(
    rng: random.Random, symbols: list[str], minutes: int, bad: float
) -> list[dict[str, Any]]:
    """Raw bars of all symbols by minute, with gaps; a share `bad` of rows is spoilt."""
    last = {symbol: rng.choice([0.9, 12.0, 480.0]) for symbol in symbols}
    rows: list[dict[str, Any]] = []
    for minute in range(minutes):
        for symbol in symbols:
            if rng.random() < 0.25 or ((minute // 40) % 5 == 4 and rng.random() < 0.9):
                continue
            row = _bar(rng, symbol, START + minute * MINUTE, last)
            rows.append(_spoil(rng, row, minute) if rng.random() < bad else row)
            if rng.random() < bad / 4:
                rows.append({**row, "close": row["close"]})
    return rows


def _bar(rng: random.Random, symbol: str, ts: int, last: dict[str, float]) -> dict[str, Any]:
    opened = round(last[symbol] * (1 + rng.gauss(0, 0.001)), 5)
    close = round(opened * (1 + rng.gauss(0, 0.004)), 5)
    last[symbol] = max(close, 0.1)
    return {
        "symbol": symbol,
        "ts": ts,
        "open": opened,
        "high": round(max(opened, close) * (1 + rng.random() * 0.001), 5) + 0.00001,
        "low": round(min(opened, close) * (1 - rng.random() * 0.001), 5) - 0.00001,
        "close": close,
        "volume": round(rng.random() * 100, 3) if rng.random() < 0.95 else 0.0,
    }


def _spoil(rng: random.Random, row: dict[str, Any], minute: int) -> dict[str, Any]:
    kind = rng.randrange(8)
    column = rng.choice(["open", "high", "low", "close"])
    if kind == 0:
        return {**row, "ts": row["ts"] + rng.randint(1, 59_999)}
    if kind == 1:
        return {**row, column: rng.choice([float("nan"), float("inf"), float("-inf")])}
    if kind == 2:
        return {**row, column: rng.choice([0.0, -1.5])}
    if kind == 3:
        return {**row, "high": row["low"] / 2}
    if kind == 4:
        return {**row, "volume": rng.choice([-1.0, float("nan"), float("inf")])}
    if kind == 5:
        return {**row, "ts": row["ts"] - rng.randint(1, 30) * MINUTE}
    if kind == 6:
        return {**row, "symbol": "OTHERUSD"}
    return {**row, "ts": row["ts"] + rng.choice([-1, 1]) * 400 * 24 * 60 * MINUTE}
