"""A local Fluss that knows its users: its settings, and who may do what in it.

Its Python client can't grant rights, so its Java client does, in a process of its own.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

from py4j.java_gateway import GatewayParameters, JavaGateway, launch_gateway
from py4j.protocol import Py4JError, Py4JJavaError

from jobs import jar_patches, jvm
from jobs.guard import ZOOKEEPER_PROVIDER, Guard, Right
from schemas.config_security import OWN_USER
from udfs.errors import ConfigError

INTERNAL = "INTERNAL"
# A listener for clients and one for servers: what comes in by the latter is not asked for rights.
SETTINGS: Mapping[str, str] = MappingProxyType(
    {
        "security.protocol.map": f"FLUSS:SASL,{INTERNAL}:SASL",
        "internal.listener.name": INTERNAL,
        "security.sasl.enabled.mechanisms": "PLAIN",
        "authorizer.enabled": "true",
        "super.users": f"User:{OWN_USER}",
        "client.security.protocol": "SASL",
        "client.security.sasl.mechanism": "PLAIN",
    }
)
ZOOKEEPER_SETTINGS: Mapping[str, str] = MappingProxyType(
    {"authProvider.sasl": ZOOKEEPER_PROVIDER, "sessionRequireClientSASLAuth": "true"}
)
LOGGING = ("log4j-api-", "log4j-core-", "log4j-slf4j-impl-")


def grant(
    bootstrap: str, guard: Guard, database: str, rights: Sequence[Right], folder: Path
) -> None:
    """Make the database, and give these rights in it; others that were given there are taken.

    `folder` is the store's. ConfigError where the store refuses.
    """
    try:
        with _admin(bootstrap, guard, folder) as (java, admin):
            empty = java.org.apache.fluss.metadata.DatabaseDescriptor.EMPTY
            admin.createDatabase(database, empty, True).get()
            acl = java.org.apache.fluss.security.acl
            wanted = java.java.util.ArrayList()
            for right in rights:
                wanted.add(_binding(acl, database, right))
            admin.createAcls(wanted).all().get()
            old = java.java.util.ArrayList()
            for found in admin.listAcls(acl.AclBindingFilter.ANY).get():
                name = str(found.getResource().getName())
                ours = name == database or name.startswith(f"{database}.")
                if ours and not wanted.contains(found):
                    old.add(_filter(acl, found))
            if old.size():
                admin.dropAcls(old).all().get()
    except Py4JJavaError as error:
        why = str(error.java_exception.toString())
        raise ConfigError(f"the store at {bootstrap} does not take rights: {why}") from None
    except (Py4JError, OSError) as error:
        raise ConfigError(
            f"Java can't be asked to grant rights at {bootstrap}: {error}; see {folder / 'log'}"
        ) from None


def _binding(acl: Any, database: str, right: Right) -> Any:
    resource = (
        acl.Resource.database(database)
        if right.table is None
        else acl.Resource.table(database, right.table)
    )
    entry = acl.AccessControlEntry(
        acl.FlussPrincipal(right.username, "User"),
        "*",
        acl.OperationType.valueOf(right.operation),
        acl.PermissionType.ALLOW,
    )
    return acl.AclBinding(resource, entry)


def _filter(acl: Any, binding: Any) -> Any:
    """What is this binding alone."""
    resource, entry = binding.getResource(), binding.getAccessControlEntry()
    return acl.AclBindingFilter(
        acl.ResourceFilter(resource.getType(), resource.getName()),
        acl.AccessControlEntryFilter(
            entry.getPrincipal(),
            entry.getHost(),
            entry.getOperationType(),
            entry.getPermissionType(),
        ),
    )


@contextmanager
def _admin(bootstrap: str, guard: Guard, folder: Path) -> Iterator[tuple[Any, Any]]:
    """The classes of a Java process, and the store's administrator in it."""
    library = (jvm.flink_home() / "lib").glob("*.jar")
    jars = [*jar_patches.made(jar_patches.CONNECTOR)]
    jars += [jar for jar in sorted(library) if jar.name.startswith(LOGGING)]
    port, token = launch_gateway(
        classpath=":".join(map(str, jars)),
        java_path=str(jvm.find_java()),
        javaopts=[
            guard.java_option,
            "-XX:TieredStopAtLevel=1",
            "-XX:+UseSerialGC",
            f"-Dlog.file={folder / 'log' / 'rights.log'}",
            f"-Dlog4j.configurationFile={jvm.REPO / 'conf' / 'fluss' / 'log4j.properties'}",
        ],
        die_on_exit=True,
        enable_auth=True,
    )
    gateway = JavaGateway(gateway_parameters=GatewayParameters(port=port, auth_token=token))
    try:
        settings = gateway.jvm.org.apache.fluss.config.Configuration()
        settings.setString("bootstrap.servers", bootstrap)
        for name in ("client.security.protocol", "client.security.sasl.mechanism"):
            settings.setString(name, SETTINGS[name])
        connection = gateway.jvm.org.apache.fluss.client.ConnectionFactory.createConnection(
            settings
        )
        yield gateway.jvm, connection.getAdmin()
        connection.close()
    finally:
        gateway.shutdown()
