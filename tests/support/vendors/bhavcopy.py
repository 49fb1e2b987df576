"""The exchanges' archives of day files: NSE's and BSE's, with what they do on the wrong day."""

import datetime as dt
import io
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.support.vendors.base import DAY, IST, SECOND, Bar, Vendor

HOLIDAYS = {
    dt.date(2024, 7, 17), dt.date(2026, 9, 14), dt.date(2026, 10, 2), dt.date(2026, 10, 20),
    dt.date(2026, 11, 10), dt.date(2026, 11, 24),
}  # fmt: skip
MUHURAT = dt.date(2026, 11, 8)
UDIFF = (
    "TradDt,BizDt,Sgmt,Src,FinInstrmTp,FinInstrmId,ISIN,TckrSymb,SctySrs,XpryDt,FininstrmActlXpryDt,StrkPric,"
    "OptnTp,FinInstrmNm,OpnPric,HghPric,LwPric,ClsPric,LastPric,PrvsClsgPric,UndrlygPric,SttlmPric,OpnIntrst,"
    "ChngInOpnIntrst,TtlTradgVol,TtlTrfVal,TtlNbOfTxsExctd,SsnId,NewBrdLotQty,Rmks,Rsvd1,Rsvd2,Rsvd3,Rsvd4"
)
LEGACY = "SYMBOL,SERIES,OPEN,HIGH,LOW,CLOSE,LAST,PREVCLOSE,TOTTRDQTY,TOTTRDVAL,TIMESTAMP,TOTALTRADES,ISIN,"
FULL = (
    "SYMBOL, SERIES, DATE1, PREV_CLOSE, OPEN_PRICE, HIGH_PRICE, LOW_PRICE, LAST_PRICE, CLOSE_PRICE, "
    "AVG_PRICE, TTL_TRD_QNTY, TURNOVER_LACS, NO_OF_TRADES, DELIV_QTY, DELIV_PER"
)
BSE_LEGACY = (
    "SC_CODE,SC_NAME,SC_GROUP,SC_TYPE,OPEN,HIGH,LOW,CLOSE,LAST,PREVCLOSE,NO_TRADES,NO_OF_SHRS,NET_TURNOV,"
    "TDCLOINDI"
)
_PATHS = (
    (r"/content/cm/(BhavCopy_NSE_CM_0_0_0_(?P<ymd>\d{8})_F_0000\.csv)\.zip", "udiff"),
    (r"/content/historical/EQUITIES/\d{4}/[A-Z]{3}/(cm(?P<dmony>\d\d[A-Z]{3}\d{4})bhav\.csv)\.zip", "legacy"),
    (r"/products/content/(sec_bhavdata_full_(?P<dmy>\d{8})\.csv)", "full"),
    (r"/download/BhavCopy/Equity/(BhavCopy_BSE_CM_0_0_0_(?P<ymd>\d{8})_F_0000\.CSV)", "bse"),
    (r"/download/BhavCopy/Equity/EQ(?P<dmyy>\d{6})_CSV\.ZIP", "bse legacy"),
)
_DATES = {"ymd": "%Y%m%d", "dmony": "%d%b%Y", "dmy": "%d%m%Y", "dmyy": "%d%m%y"}


class BhavcopyVendor(Vendor):
    provider = "bhavcopy"
    symbol = "RELIANCE.NS"
    daily = True
    names_secret = False

    def options(self, folder: Path) -> dict[str, Any]:
        del folder
        return {"nse": self.url, "bse": self.url}

    async def answer(self, request: web.Request) -> web.StreamResponse:
        agent = request.headers.get("User-Agent", "")
        if not agent.startswith("Mozilla/") or "aiohttp" in agent:
            return web.Response(status=403, text="<html>Access Denied</html>", content_type="text/html")
        for shape, kind in _PATHS:
            if (found := re.fullmatch(shape, request.path)) is None:
                continue
            ((name, text),) = [(k, v) for k, v in found.groupdict().items() if v]
            date = dt.datetime.strptime(text, _DATES[name]).replace(tzinfo=IST).date()
            if not self.has(date):
                return self._absent(kind, date)
            return self._file(kind, date, f"EQ{text}.CSV" if kind == "bse legacy" else found[1])
        return web.Response(status=404, text="<html>nginx</html>", content_type="text/html")

    def has(self, date: dt.date) -> bool:
        """Files come at 18:00 of a trading day."""
        published = dt.datetime(date.year, date.month, date.day, 18, tzinfo=IST)
        traded = (date.weekday() < 5 or date == MUHURAT) and date not in HOLIDAYS
        return traded and published.timestamp() * SECOND <= self.now_ns

    def bars(self, start_ns: int, end_ns: int, interval_ns: int = DAY) -> dict[int, Bar]:
        """Named by their date, as days are stored."""
        assert interval_ns == DAY
        found = {}
        for name in range(start_ns // DAY * DAY, end_ns, DAY):
            midnight = name - 19_800 * SECOND  # in Mumbai
            if start_ns <= midnight < end_ns and self.has(_date(name)) and name not in self.quiet:
                found[name] = self.bar(name)
        return found

    def bar(self, at: int) -> Bar:
        """Another one each day."""
        o, h, l, c, volume, oi = super().bar(at)  # noqa: E741 - as they are called
        more = at // DAY % 40 * 0.5 * self.factor
        return Bar(o + more, h + more, l + more, c + more, volume + at // DAY % 5 * (volume > 0), oi)

    def forget(self, folder: Path) -> None:
        """The files of each day, which do not change in earnest."""
        for path in (folder / "bhavcopy").glob("*"):
            path.unlink()

    def _absent(self, kind: str, date: dt.date) -> web.Response:
        """A holiday: another day's file, a web page or 404, each with the manners of its exchange."""
        if kind.startswith("bse"):
            return web.Response(text="<html>BSE</html>", content_type="text/html")
        earlier = date
        while kind == "full" and date.weekday() != 5:
            earlier -= dt.timedelta(days=1)
            if self.has(earlier):
                return self._file(kind, earlier, f"sec_bhavdata_full_{date:%d%m%Y}.csv")
        return web.Response(status=404, text="<html>404</html>", content_type="text/html")

    def _file(self, kind: str, date: dt.date, name: str) -> web.Response:
        header = {"legacy": LEGACY, "full": FULL, "bse legacy": BSE_LEGACY}.get(kind, UDIFF)
        text = "\n".join([header, *self._lines(kind, date)]) + "\n"
        if kind in ("full", "bse"):
            return web.Response(text=text, content_type="text/csv")
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(name, text)
        return web.Response(body=packed.getvalue(), content_type="application/zip")

    def _lines(self, kind: str, date: dt.date) -> Iterator[str]:
        """Others before ours, and ours in series that nobody asked for."""
        yield _line(kind, date, ("RELIABLE", "EQ", "539091"), Bar(1, 2, 1, 2, 10, 0))
        bond = "958RIL27" if kind.startswith("bse") else "RELIANCE"  # names are unique at BSE
        yield _line(kind, date, (bond, "GB", "999999"), Bar(7, 8, 7, 8, 1, 0))
        at = (date - dt.date(1970, 1, 1)).days * DAY
        if at not in self.quiet:
            yield _line(kind, date, ("RELIANCE", "EQ", "500325"), self.bar(at))
        yield _line(kind, date, ("TCS", "EQ", "532540"), Bar(3_100, 3_150, 3_090, 3_120, 4_000, 0))

    def throttled(self) -> web.Response:
        return web.Response(status=403, text="<html>Access Denied</html>", content_type="text/html")


def _line(kind: str, date: dt.date, who: tuple[str, str, str], bar: Bar) -> str:
    symbol, series, code = who
    o, h, l, c, volume, _ = (f"{value:g}" for value in bar)  # noqa: E741 - as they are called
    if kind == "legacy":
        return (
            f"{symbol},{series},{o},{h},{l},{c},{c},{o},{volume},1000,{date:%d-%b-%Y},7,INE000A01010,".upper()
        )
    if kind == "full":
        return (
            f"{symbol}, {series}, {date:%d-%b-%Y}, {o}, {o}, {h}, {l}, {c}, {c}, {c}, {volume}, 1.00, 7, -, -"
        )
    if kind == "bse legacy":
        return f"{code},{symbol:<12},A ,Q,{o},{h},{l},{c},{c},{o},7,{volume},1000.00,"
    source, group = ("BSE", "A") if kind == "bse" else ("NSE", series)
    return (
        f"{date},{date},CM,{source},STK,{code},INE000A01010,{symbol},{group},,,,,{symbol} LIMITED,"
        f"{o},{h},{l},{c},{c},{o},,{c},,,{volume},1000.00,7,F1,1,,,,,"
    )


def _date(name: int) -> dt.date:
    return dt.date(1970, 1, 1) + dt.timedelta(days=name // DAY)
