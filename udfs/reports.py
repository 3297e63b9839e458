"""Exec reports from outside: checked field by field, and made fills."""

from collections.abc import Mapping
from decimal import Decimal
from typing import NamedTuple

from udfs.ids import hash_id
from udfs.money import MAX_UNITS, UNIT, finite_decimal, fits, plain_units, units
from udfs.rows import BUY, SELL, Fill, ReportCode

REPORT_COLUMNS = (
    "account_id",
    "strategy_id",
    "order_id",
    "fill_id",
    "symbol",
    "side",
    "fill_qty",
    "fill_price",
    "ts",
    "fee",
    "fee_currency",
    "venue",
)
REQUIRED_COLUMNS = tuple(c for c in REPORT_COLUMNS if c not in ("fee", "fee_currency", "venue"))
_MOST = MAX_UNITS * UNIT  # of quantity x price, which is wide
SIDES = {"BUY": BUY, "SELL": SELL}
Report = Mapping[str, str | None]  # values as text, None where there is none


class BadReport(NamedTuple):
    """Why a report is rejected, in words that name the field, the value and what would be right."""

    code: ReportCode
    detail: str


def read_report(report: Report, quote: str) -> Fill | BadReport:
    """The fill that a report tells of, or the first check that it fails."""
    for name in ("account_id", "order_id", "fill_id", "symbol"):
        if not report.get(name):
            return BadReport(ReportCode.MISSING_ID, f"{name} is empty")
    ts = whole_number(report.get("ts"))
    if ts is None:
        return BadReport(ReportCode.BAD_TS, f"ts {report.get('ts')!r} is no whole number of ms")
    side = SIDES.get(report.get("side") or "")
    if side is None:
        return BadReport(ReportCode.BAD_SIDE, f"side {report.get('side')!r} is not BUY or SELL")
    amounts = _amounts(report)
    if isinstance(amounts, BadReport):
        return amounts
    if not report.get("strategy_id"):
        order = report.get("order_id")
        return BadReport(ReportCode.UNKNOWN_ORDER, f"no strategy, and order {order!r} is not known")
    qty, price, fee = amounts
    return Fill(
        account_id=report["account_id"] or "",
        strategy_id=report["strategy_id"] or "",
        order_id=report["order_id"] or "",
        fill_id=report["fill_id"] or "",
        symbol=report["symbol"] or "",
        side=side,
        qty=qty,
        price=price,
        ts=ts,
        fee=fee,
        fee_currency=report.get("fee_currency") or quote,
        venue=report.get("venue") or "",
    )


def _amounts(report: Report) -> tuple[int, int, int] | BadReport:
    """Quantity, price and fee in units, or the first check that they fail."""
    plain = [plain_units(report.get(name) or "") for name in ("fill_qty", "fill_price")]
    fee = plain_units(report.get("fee") or "0")
    qty, price = plain
    if qty and price and fee is not None and min(qty, price) > 0 and qty * price < _MOST:
        return qty, price, fee
    amounts = []
    for name in ("fill_qty", "fill_price", "fee"):
        text = report.get(name)
        if name == "fee" and not text:
            text = "0"
        try:
            amounts.append(finite_decimal(text))
        except ValueError:
            return BadReport(ReportCode.NOT_A_NUMBER, f"{name} {text!r} is not a number")
    found = _amounts_problem(*amounts)
    return (units(amounts[0]), units(amounts[1]), units(amounts[2])) if found is None else found


def _amounts_problem(qty: Decimal, price: Decimal, fee: Decimal) -> BadReport | None:
    """Whether quantity, price and fee are positive where they must be, and fit."""
    for name, amount in (("fill_qty", qty), ("fill_price", price)):
        if amount <= 0:
            return BadReport(ReportCode.NOT_POSITIVE, f"{name} {amount} is not above 0")
    for name, amount in (("fill_qty", qty), ("fill_price", price), ("fee", fee)):
        if not fits(amount):
            return BadReport(ReportCode.PRECISION, f"{name} {amount} does not fit DECIMAL(38,18)")
    if units(qty) * units(price) >= _MOST:
        return BadReport(
            ReportCode.PRECISION, f"fill_qty {qty} x fill_price {price} does not fit DECIMAL(38,18)"
        )
    return None


def whole_number(text: str | None) -> int | None:
    """The whole number that a text shows, by value (5, 5.0); None where it shows none."""
    if text and len(text) <= 18 and text.isascii() and text.isdigit():
        return int(text)
    try:
        number = finite_decimal(text)
    except ValueError:
        return None
    if number.adjusted() > 18 or number != number.to_integral_value():
        return None
    whole = int(number)
    return whole if abs(whole) < 2**63 else None


def row_id(report: Report) -> str:
    """The id of a rejected row: its values as text, in the order of REPORT_COLUMNS."""
    return hash_id(*(report.get(name) or "" for name in REPORT_COLUMNS))
