"""Who speaks to a store. The password stays where it is until a connection is made.

A Login is plain data and holds the place of the password only, so jobs may carry it and files may
hold it.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from schemas.config_security import LoginConfig, SecurityConfig
from udfs.errors import ConfigError

KEY = "store.security"
SECRETS, LOGIN = "secrets", "login.json"  # of a stack's folder
USER, PASSWORD = "TRADEFLOW_STORE_USER", "TRADEFLOW_STORE_PASSWORD"
PASSWORD_FILE = "TRADEFLOW_STORE_PASSWORD_FILE"
OTHERS_MODE = 0o077
PLAIN = "PLAIN"


class Login(NamedTuple):
    """A user of a store; the password is in `file`, or in the variable `env`.

    `key` and `password_key` name what a person would mend.
    """

    username: str
    file: str = ""
    env: str = ""
    protocol: str = "sasl"
    mechanism: str = PLAIN
    ca_file: str = ""
    key: str = f"{KEY}.username"
    password_key: str = f"{KEY}.password_file"

    @property
    def place(self) -> str:
        """Where the password is, for people."""
        what = f"file {self.file}" if self.file else f"variable {self.env}"
        return f"{what} ({self.password_key})"

    def password(self) -> str:
        """The password; ConfigError where it can't be had, or others may read it."""
        text = _of_file(self) if self.file else _of_variable(self)
        if not text or not text.isprintable():
            what = "is empty" if not text else "holds a character that is not printable"
            raise ConfigError(f"the password of {self.username} in {self.place} {what}")
        return text


def _of_variable(login: Login) -> str:
    found = os.environ.get(login.env)
    if found is None:
        raise ConfigError(
            f"{login.password_key}: the variable {login.env} is not set; it should hold the "
            f"password of {login.username}"
        )
    return found


def _of_file(login: Login) -> str:
    """The first line of a file; ConfigError where it is not its owner's alone."""
    file = Path(login.file)
    key = login.password_key
    try:
        mode = file.stat().st_mode
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ConfigError(f"{key}: {file} is no text of UTF-8") from None
    except OSError as error:
        raise ConfigError(f"{key}: {file}: {error.strerror}") from None
    if mode & OTHERS_MODE:
        raise ConfigError(f"{key}: others may read {file}; `chmod 600 {file}`")
    return text.rstrip("\r\n")


def login_of(security: SecurityConfig | None) -> Login | None:
    """The user that a configuration names."""
    if security is None:
        return None
    return _login(security, KEY)._replace(
        protocol=security.protocol,
        mechanism=security.mechanism,
        ca_file=security.ca_file or "",
    )


def readers_of(security: SecurityConfig) -> list[Login]:
    """The readers that it names."""
    return [
        _login(reader, f"{KEY}.readers[{index}]") for index, reader in enumerate(security.readers)
    ]


def _login(found: LoginConfig, told: str) -> Login:
    # Absolute: jobs read it, too, and run elsewhere.
    file = str(Path(found.password_file).expanduser().absolute()) if found.password_file else ""
    place = f"{told}.password_{'file' if file else 'env'}"
    return Login(
        found.username,
        file,
        found.password_env or "",
        key=f"{told}.username",
        password_key=place,
    )


def stack_login(folder: Path) -> Login | None:
    """The user that a stack's own processes are, None where its store asks nobody.

    ConfigError where the file that says so can't be read.
    """
    file = folder / SECRETS / LOGIN
    try:
        return Login(**json.loads(file.read_text(encoding="utf-8")))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(
            f"{file} can't be read ({error}): name a user of your own by {USER}, or start the "
            "stack again by `tradeflow down` and `tradeflow up`"
        ) from None


def kafka_settings(login: Login | None) -> dict[str, Any]:
    """What a client of kafka-python needs to know; read anew for each connection."""
    if login is None:
        return {}
    found = {
        "security_protocol": "SASL_SSL" if login.protocol == "sasl_ssl" else "SASL_PLAINTEXT",
        "sasl_mechanism": login.mechanism,
        "sasl_plain_username": login.username,
        "sasl_plain_password": login.password(),
    }
    return found | ({"ssl_cafile": login.ca_file} if login.ca_file else {})


def kafka_options(login: Login | None) -> dict[str, str]:
    """The same for Flink's connector, without name and password: those are in Java's own file."""
    if login is None:
        return {}
    is_tls = login.protocol == "sasl_ssl"
    found = {
        "properties.security.protocol": "SASL_SSL" if is_tls else "SASL_PLAINTEXT",
        "properties.sasl.mechanism": login.mechanism,
    }
    if login.ca_file:
        found["properties.ssl.truststore.type"] = "PEM"
        found["properties.ssl.truststore.location"] = login.ca_file
    return found


def fluss_settings(login: Login | None) -> Mapping[str, str]:
    """What Fluss's Python client needs to know; read anew for each connection."""
    if login is None:
        return {}
    return {
        "security.protocol": login.protocol.upper(),
        "security.sasl.mechanism": login.mechanism,
        "security.sasl.username": login.username,
        "security.sasl.password": login.password(),
    }
