"""Who speaks to a store: the configuration's checks, where passwords are taken from and written."""

import json
import pickle
import re
from pathlib import Path

import fluss
import pytest

from feeds.live import place
from jobs.live import kafka_tables, sql
from jobs.stack import checks, secrets, state
from jobs.store import login as logins
from jobs.store.jaas import Section, text
from jobs.store.login import Login, login_of, readers_of
from jobs.store.place import StorePlace
from jobs.store.refusals import refusal
from schemas.config import Config, load_config
from schemas.market import PRICE_1M_HISTORY
from udfs.errors import ConfigError

LIVE = Path(__file__).resolve().parents[2] / "conf" / "live.yaml"
PLANTED = "planted-secret"


def config(**security: object) -> Config:
    return load_config(LIVE, {"store.security": security})


def private(file: Path, content: str = PLANTED) -> str:
    file.write_text(content + "\n", encoding="utf-8")
    file.chmod(0o600)
    return str(file)


REFUSED: list[tuple[dict[str, object], str]] = [
    ({"username": "a", "password": PLANTED}, "a password does not belong into a configuration"),
    ({"username": "a"}, "give exactly one of password_file and password_env"),
    ({"username": "a", "password_env": "A", "password_file": "b"}, "give exactly one of"),
    ({"username": "admin", "password_env": "A"}, "choose another name"),
    ({"username": 'a"; x', "password_env": "A"}, "is not a user's name"),
    (
        {"username": "a", "password_env": f"{PLANTED}!"},
        "is not the name of an environment variable",
    ),
    ({"username": "a", "password_env": "A", "protocol": "sasl_ssl"}, "which knows sasl alone"),
    ({"username": "a", "password_env": "A", "mechanism": "SCRAM-SHA-256"}, "knows PLAIN alone"),
    ({"username": "a", "password_env": "A", "ca_file": "x"}, "write protocol: sasl_ssl"),
    (
        {"username": "a", "password_env": "A", "readers": [{"username": "a", "password_env": "B"}]},
        "a is a user already",
    ),
    (
        {
            "username": "a",
            "password_env": "A",
            "readers": [{"username": "b", "password": PLANTED}],
        },
        "a password does not belong into a configuration",
    ),
    (
        {
            "username": "a",
            "password_env": "A",
            "readers": [{"username": "b", "password_env": "B", "tables": ["progres"]}],
        },
        "did you mean 'progress'?",
    ),
]


@pytest.mark.parametrize(("security", "told"), REFUSED)
def test_what_is_wrong_is_told_without_the_password(security: dict[str, object], told: str) -> None:
    with pytest.raises(ConfigError) as error:
        config(**security)
    assert told in str(error.value)
    assert PLANTED not in str(error.value)


def test_kafka_may_have_tls_and_scram() -> None:
    given = {"username": "a", "password_env": "A", "protocol": "sasl_ssl", "ca_file": "ca.pem"}
    found = load_config(
        LIVE,
        {"store.kind": "kafka", "store.security": given | {"mechanism": "SCRAM-SHA-512"}},
    )
    login = login_of(found.store.security)
    assert login is not None
    assert (login.protocol, login.mechanism) == ("sasl_ssl", "SCRAM-SHA-512")
    with pytest.raises(ConfigError, match="knows sasl with PLAIN alone"):
        checks.check_config(found)
    made = kafka_tables.statement(PRICE_1M_HISTORY, StorePlace("kafka", "h:1", "d", login), "job")
    assert "'properties.security.protocol' = 'SASL_SSL'" in made
    assert "'properties.sasl.mechanism' = 'SCRAM-SHA-512'" in made
    assert "password" not in made


def test_passwords_come_from_private_files_and_variables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "password"
    login = login_of(config(username="a", password_file=private(file)).store.security)
    assert login is not None
    assert login.password() == PLANTED
    file.chmod(0o640)
    with pytest.raises(ConfigError, match=re.escape(f"`chmod 600 {file}`")):
        login.password()
    file.unlink()
    with pytest.raises(ConfigError, match=r"store\.security\.password_file: .*No such file"):
        login.password()
    other = login_of(config(username="a", password_env="A_PASSWORD").store.security)
    assert other is not None
    monkeypatch.delenv("A_PASSWORD", raising=False)
    with pytest.raises(ConfigError, match="the variable A_PASSWORD is not set"):
        other.password()
    monkeypatch.setenv("A_PASSWORD", "")
    with pytest.raises(ConfigError, match="is empty"):
        other.password()
    monkeypatch.setenv("A_PASSWORD", PLANTED)
    assert other.password() == PLANTED
    assert PLANTED.encode() not in pickle.dumps(other)
    assert PLANTED not in sql.catalog("store", StorePlace("fluss", "h:1", "d", other))


def test_javas_file_keeps_what_is_special() -> None:
    made = text([Section("A", "some.Module", {"user_x": 'a"b\\c'})])
    assert made == 'A {\n  some.Module required\n    "user_x"="a\\"b\\\\c";\n};\n'


def test_a_stack_copies_passwords_and_forgets_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOBS_PASSWORD", PLANTED)
    monkeypatch.setenv("PEOPLE_PASSWORD", "other")
    people = {"username": "people", "password_env": "PEOPLE_PASSWORD"}
    found = config(username="jobs", password_env="JOBS_PASSWORD", readers=[people])
    secrets.prepare(tmp_path, found)
    assert secrets.hidden(found) == {"JOBS_PASSWORD", "PEOPLE_PASSWORD"}
    monkeypatch.delenv("JOBS_PASSWORD")
    own = logins.stack_login(tmp_path)
    assert own is not None
    assert (own.username, own.password()) == ("jobs", PLANTED)
    assert secrets.guard_of(tmp_path) is not None
    secrets.prepare(tmp_path, load_config(LIVE))
    assert secrets.guard_of(tmp_path) is None
    assert logins.stack_login(tmp_path) is None


def test_who_a_command_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBS_PASSWORD", PLANTED)
    found = config(username="jobs", password_env="JOBS_PASSWORD")
    other = config(username="other", password_env="JOBS_PASSWORD")
    secrets.prepare(tmp_path, found)
    tree = {"store": {"security": json.loads(found.store.security.model_dump_json())}}  # type: ignore[union-attr]
    (tmp_path / state.CONFIG).write_text(json.dumps(tree), encoding="utf-8")
    own = logins.stack_login(tmp_path)
    assert place.who(None, tmp_path) == own
    assert place.who(found, tmp_path) == own
    assert place.who(other, tmp_path) == login_of(other.store.security)
    assert place.who(None, None) is None
    monkeypatch.setenv("TRADEFLOW_STORE_USER", "people")
    monkeypatch.setenv("TRADEFLOW_STORE_PASSWORD", "x")
    login = place.who(found, tmp_path)
    assert login is not None
    assert (login.username, login.password()) == ("people", "x")
    assert login.place == "variable TRADEFLOW_STORE_PASSWORD (TRADEFLOW_STORE_PASSWORD)"


def test_readers_are_named_by_their_place() -> None:
    reader = {"username": "b", "password_env": "B"}
    security = config(username="a", password_env="A", readers=[reader]).store.security
    assert security is not None
    (found,) = readers_of(security)
    assert found.password_key == "store.security.readers[0].password_env"


def test_other_errors_are_no_refusals() -> None:
    login = Login("a", env="A")
    assert refusal(TimeoutError(), "h:1", login) is None
    assert refusal(fluss.FlussError("some other", 1), "h:1", login) is None
    told = refusal(fluss.FlussError("no", 46), "h:1", None)
    assert told is not None and "asks who speaks to it" in told


def test_a_stack_that_others_keep_is_told_where_the_password_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOBS_PASSWORD", PLANTED)
    secrets.name(tmp_path, config(username="jobs", password_env="JOBS_PASSWORD"))
    own = logins.stack_login(tmp_path)
    assert own is not None
    assert (own.username, own.password()) == ("jobs", PLANTED)
    (file,) = (tmp_path / "secrets").iterdir()
    assert PLANTED not in file.read_text("utf-8")
    secrets.name(tmp_path, load_config(LIVE))
    assert logins.stack_login(tmp_path) is None
