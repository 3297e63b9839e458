"""A local Kafka that knows its users: its settings, and who may do what in it."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from kafka import KafkaAdminClient
from kafka.admin import (
    ACL,
    ACLFilter,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    ResourcePattern,
    ResourcePatternFilter,
    ResourceType,
)
from kafka.errors import KafkaError, for_code

from jobs.guard import Guard, Right
from jobs.store.kafka_making import CONTRACTS
from jobs.store.login import kafka_settings
from schemas.config_security import OWN_USER
from udfs.errors import ConfigError

ANSWER_MS = 20_000
SETTINGS: Mapping[str, str] = MappingProxyType(
    {
        "listener.security.protocol.map": "STORE:SASL_PLAINTEXT,CONTROLLER:SASL_PLAINTEXT",
        "sasl.enabled.mechanisms": "PLAIN",
        "sasl.mechanism.inter.broker.protocol": "PLAIN",
        "sasl.mechanism.controller.protocol": "PLAIN",
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": f"User:{OWN_USER}",
    }
)


def grant(bootstrap: str, guard: Guard, database: str, rights: Sequence[Right]) -> None:
    """Give these rights in a database; others that were given there are taken.

    ConfigError where the store refuses.
    """
    wanted = [acl for right in rights for acl in _acls(database, right)]
    try:
        admin = KafkaAdminClient(
            bootstrap_servers=bootstrap,
            request_timeout_ms=ANSWER_MS,
            bootstrap_timeout_ms=ANSWER_MS,
            **kafka_settings(guard.own),
        )
        try:
            admin.create_acls(wanted)
            old = [acl for acl in _all(admin) if _is_of(acl, database) and acl not in wanted]
            if old:
                admin.delete_acls(old)
        finally:
            admin.close()
    except KafkaError as error:
        raise ConfigError(f"the store at {bootstrap} does not take rights: {error}") from None


def _all(admin: KafkaAdminClient) -> list[ACL]:
    anything = ResourcePatternFilter(ResourceType.ANY, None, ACLResourcePatternType.ANY)
    asked = ACLFilter(None, None, ACLOperation.ANY, ACLPermissionType.ANY, anything)
    found, error = admin.describe_acls(asked)
    if not issubclass(error if isinstance(error, type) else type(error), for_code(0)):
        raise ConfigError(f"the store does not tell its rights: {error}")
    return list(found)


def _is_of(acl: ACL, database: str) -> bool:
    return str(acl.resource_pattern.resource_name).startswith(f"{database}.")


def _acls(database: str, right: Right) -> list[ACL]:
    """A right of a user as Kafka has it: of topics, and of transactions where they are written."""
    prefixed, literal = ACLResourcePatternType.PREFIXED, ACLResourcePatternType.LITERAL
    if right.table is None:
        patterns = [ResourcePattern(ResourceType.TOPIC, f"{database}.", prefixed)]
    else:
        # What a table's columns are is in the other topic.
        patterns = [
            ResourcePattern(ResourceType.TOPIC, f"{database}.{name}", literal)
            for name in (right.table, CONTRACTS)
        ]
    if right.operation == "ALL":
        for kind in (ResourceType.TRANSACTIONAL_ID, ResourceType.GROUP):
            patterns.append(ResourcePattern(kind, f"{database}.", prefixed))
    return [
        ACL(
            f"User:{right.username}",
            "*",
            ACLOperation[right.operation],
            ACLPermissionType.ALLOW,
            pattern,
        )
        for pattern in patterns
    ]
