"""Sources that are databases: PostgreSQL brings what a file brings; what cannot be read says why and changes nothing."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Callable, Iterator
from decimal import Decimal
from urllib.parse import quote

import psycopg
import pytest

from tests.nodes.sources.bureau import CODES, HEADER, ITEM, Bureau, line, source
from tests.nodes.sources.mysql_server import PASSWORD, USER, Table, serving


@pytest.fixture
def arrears(postgresql_server: str) -> str:
    """The address of a database with three rows, of which the last is bad."""
    with psycopg.connect(postgresql_server) as opened:
        opened.execute("DROP TABLE IF EXISTS arrears")
        opened.execute("CREATE TABLE arrears (uscc text, months bigint, amount numeric(18,4), since text, day date)")
        opened.cursor().executemany(
            "INSERT INTO arrears VALUES (%s, %s, %s, %s, '2024-02-29')",
            [(CODES[0], 2, "1.2345", "2024-01"), (CODES[1], 3, "2", "2024-02"), (CODES[2], None, "1", "2024-01")],
        )
    return postgresql_server


def declared(place: str, more: str = 'table = "arrears"', kind: str = "postgresql") -> str:
    return f'[[source]]\nname = "p"\ntype = "{kind}"\nitem_id = "{ITEM}"\n{place}\n{more}\n'


def in_wan(more: str) -> str:
    fields = 'months = "months"\nsince = "since"\namount = { column = "amount", unit = "万" }'
    return f"{more}\n[source.fields]\n{fields}"


@pytest.mark.parametrize(
    "more", ['table = "arrears"', "query = \"SELECT * FROM arrears WHERE uscc LIKE '9%'\""], ids=["table", "query"]
)
def test_postgresql_is_judged_by_the_same_rules_and_converted(bureau: Bureau, arrears: str, more: str) -> None:
    report = bureau.load(declared(f'url = "{arrears}"', in_wan(more)), {}).sources[0]
    assert (report.rows, report.accepted, report.by_rule, report.error) == (3, 2, {"missing": 1}, "")
    assert report.collect_method == "api"
    assert bureau.set.lookup(ITEM, CODES[0]) == [{"months": 2, "amount": Decimal("12345.00"), "since": "2024-01"}]
    assert bureau.subjects() == [CODES[0], CODES[1]]


def test_the_address_may_lie_in_a_file_of_its_own(bureau: Bureau, arrears: str) -> None:
    report = bureau.load(declared('url_file = "url"', in_wan('table = "arrears"')), {"url": arrears + "\n"}).sources[0]
    assert (report.accepted, report.error) == (2, "")


def test_dates_of_a_database_are_dates(bureau: Bureau, arrears: str) -> None:
    query = "SELECT uscc, day AS identified, day::timestamp AS released, 'x' AS authority FROM arrears"
    text = declared(f'url = "{arrears}"', f'query = "{query}"').replace(ITEM, "tax_abnormal")
    report = bureau.load(text, {}).sources[0]
    assert (report.accepted, report.by_rule) == (3, {})
    (found,) = bureau.set.lookup("tax_abnormal", CODES[0])
    assert (str(found["identified"]), str(found["released"])) == ("2024-02-29", "2024-02-29")


UNREADABLE = [
    pytest.param('table = "nowhere"', "nowhere", id="no-table"),
    pytest.param('query = "SELECT uscc, months, amount FROM arrears"', "since", id="no-column"),
    pytest.param('query = "SELEKT"', "syntax error", id="no-sql"),
    pytest.param('table = "arrears; DROP TABLE arrears"', "DROP TABLE", id="injected-name"),
]


@pytest.mark.parametrize(("more", "words"), UNREADABLE)
def test_what_postgresql_refuses_is_told_and_the_load_before_stays(
    bureau: Bureau, arrears: str, more: str, words: str
) -> None:
    bureau.load_rows(HEADER + line(4))
    outcome = bureau.load(declared(f'url = "{arrears}"', more), {})
    assert outcome.sources[0].error_code == "SOURCE_UNREADABLE"
    assert words in outcome.sources[0].error
    assert not outcome.complete
    assert bureau.subjects() == [CODES[4]]
    with psycopg.connect(arrears) as opened:
        assert opened.execute("SELECT count(*) FROM arrears").fetchone() == (3,)


def test_postgresql_that_stumbles_over_a_cell_does_not_repeat_it(bureau: Bureau, arrears: str) -> None:
    with psycopg.connect(arrears) as opened:
        opened.execute("UPDATE arrears SET since = 'of somebody'")
    query = "SELECT uscc, since::date AS since, months, amount FROM arrears"
    report = bureau.load(declared(f'url = "{arrears}"', f'query = "{query}"'), {}).sources[0]
    assert report.error_code == "SOURCE_UNREADABLE"
    assert "a value that does not suit it" in report.error
    assert "somebody" not in report.error


def test_postgresql_is_only_read(bureau: Bureau, arrears: str) -> None:
    with psycopg.connect(arrears) as opened:
        opened.execute(
            "CREATE OR REPLACE FUNCTION drain() RETURNS text LANGUAGE sql AS 'DELETE FROM arrears RETURNING uscc'"
        )
    query = "SELECT drain() AS uscc, 1 AS months, 1 AS amount, '2024-01' AS since"
    report = bureau.load(declared(f'url = "{arrears}"', f'query = "{query}"'), {}).sources[0]
    assert "a source is only read" in report.error
    with psycopg.connect(arrears) as opened:
        assert opened.execute("SELECT count(*) FROM arrears").fetchone() == (3,)


def test_a_postgresql_that_cannot_be_reached_is_told_without_its_address(bureau: Bureau) -> None:
    url = 'url = "postgresql://reader:hunter2@127.0.0.1:1/fund"'
    report = bureau.load(declared(url), {}).sources[0]
    assert "cannot be reached" in report.error
    assert not any(secret in report.error for secret in ("hunter2", "reader", "127.0.0.1"))


def test_one_unreadable_source_of_two_keeps_the_whole_item_as_it_was(bureau: Bureau, arrears: str) -> None:
    bureau.load_rows(HEADER + line(4))
    both = source() + declared(f'url = "{arrears}"', 'table = "nowhere"')
    outcome = bureau.load(both, {"fund.csv": HEADER + line(3)})
    assert [report.error_code for report in outcome.sources] == ["", "SOURCE_UNREADABLE"]
    assert "source p" in outcome.items[0].note
    assert bureau.subjects() == [CODES[4]]


ADDRESSES = [
    pytest.param("postgresql://reader:hunter2@127.0.0.1:port/fund", id="port-that-is-none"),
    pytest.param("postgresql://reader:hunter2@[::1/f", id="open-bracket"),
    pytest.param("hunter2", id="no-address"),
]


@pytest.mark.parametrize("url", ADDRESSES)
def test_an_address_that_is_none_is_told_without_its_password(bureau: Bureau, url: str) -> None:
    report = bureau.load(declared(f'url = "{url}"'), {}).sources[0]
    assert report.error_code == "SOURCE_UNREADABLE"
    assert "hunter2" not in report.error


@pytest.fixture
def mysql() -> Iterator[Table]:
    """A MySQL server with the rows of `arrears`."""
    columns = ("uscc", "months", "amount", "since", "day")
    rows = [
        (CODES[0], 2, "1.2345", "2024-01", ""),
        (CODES[1], 3, "2", "2024-02", ""),
        (CODES[2], None, "1", "2024-01", ""),
    ]
    with serving(Table("arrears", columns, rows)) as table:
        yield table


def mysql_url(table: Table, password: str = PASSWORD, database: str = "fund") -> str:
    return f'url = "mysql://{USER}:{quote(password, safe="")}@127.0.0.1:{table.port}/{database}"'


def test_mysql_is_judged_by_the_same_rules_and_converted(bureau: Bureau, mysql: Table) -> None:
    report = bureau.load(declared(mysql_url(mysql), in_wan('table = "arrears"'), "mysql"), {}).sources[0]
    assert (report.rows, report.accepted, report.by_rule, report.error) == (3, 2, {"missing": 1}, "")
    assert bureau.subjects() == sorted(CODES[:2])
    assert any("READ ONLY" in asked for asked in mysql.asked)


def test_mysql_sends_more_rows_than_one_chunk(bureau: Bureau, mysql: Table) -> None:
    mysql.rows = [(CODES[place % 2], place, "1", "2024-01", "") for place in range(70_000)]
    report = bureau.load(declared(mysql_url(mysql), in_wan('table = "arrears"'), "mysql"), {}).sources[0]
    assert (report.rows, report.error) == (70_000, "")


def test_a_mysql_that_breaks_off_amid_its_rows_changes_nothing(bureau: Bureau, mysql: Table) -> None:
    bureau.load_rows(HEADER + line(4))
    mysql.rows = [(CODES[place % 2], place, "1", "2024-01", "") for place in range(70_000)]
    mysql.cut_after = 69_000
    outcome = bureau.load(declared(mysql_url(mysql), in_wan('table = "arrears"'), "mysql"), {})
    assert outcome.sources[0].error_code == "SOURCE_UNREADABLE"
    assert "1317" in outcome.sources[0].error
    assert USER not in outcome.sources[0].error
    assert bureau.subjects() == [CODES[4]]


NO_MYSQL = [
    b"HTTP/1.1 400 Bad Request\r\n\r\n",
    b"\x01\x00\x00\x00\x09",
    b"\x05\x00\x00\x00\x0a8.0\x00",
    b"\x20\x00\x00\x00\x0a" + b"x" * 31,
    b"\x01\x00\x00\x00\xff",
]


@pytest.mark.parametrize("greeting", NO_MYSQL)
def test_what_speaks_another_protocol_is_told_and_not_taken_apart(bureau: Bureau, greeting: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            with server.accept()[0] as opened:
                opened.sendall(greeting)

        thread = threading.Thread(target=answer)
        thread.start()
        url = f'url = "mysql://u:hunter2@127.0.0.1:{server.getsockname()[1]}/f"'
        report = bureau.load(declared(url, kind="mysql"), {}).sources[0]
        thread.join()
    assert report.error_code == "SOURCE_UNREADABLE"
    assert "does not speak MySQL's protocol" in report.error


@pytest.mark.parametrize(
    ("url", "more", "said"),
    [
        (lambda table: mysql_url(table, "wrong"), 'table = "arrears"', "not accepted"),
        (mysql_url, 'table = "nowhere"', "no such table"),
        (mysql_url, 'table = "arrears"\nsubject = "code"', "no such column"),
        (lambda table: f'url = "mysql://{USER}:hunter2@127.0.0.1:1/fund"', 'table = "arrears"', "cannot be reached"),
        (lambda table: f'url = "mysql://{USER}:hunter2@127.0.0.1/"', 'table = "arrears"', "form mysql://"),
        (lambda table: 'url = "mysql://u:hunter2@[::1/f"', 'table = "arrears"', "form mysql://"),
        (lambda table: 'url = "mysql://u:hunter2@h:port/f"', 'table = "arrears"', "form mysql://"),
        (lambda table: 'url = "host=127.0.0.1 password=hunter2"', 'table = "arrears"', "form mysql://"),
    ],
)
def test_what_mysql_refuses_is_told_without_address_or_password(
    bureau: Bureau, mysql: Table, url: Callable[[Table], str], more: str, said: str
) -> None:
    bureau.load_rows(HEADER + line(4))
    outcome = bureau.load(declared(url(mysql), more, "mysql"), {})
    assert outcome.sources[0].error_code == "SOURCE_UNREADABLE"
    assert said in outcome.sources[0].error
    assert not any(secret in outcome.sources[0].error for secret in ("hunter2", USER, "127.0.0.1"))
    assert bureau.subjects() == [CODES[4]]


def test_mysql_without_its_driver_names_what_to_install(bureau: Bureau, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pymysql", None)
    report = bureau.load(declared('url = "mysql://u:p@h/f"', kind="mysql"), {}).sources[0]
    assert report.error_code == "SOURCE_DRIVER_MISSING"
    assert "xinqiao[mysql]" in report.error
