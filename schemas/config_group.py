"""What every group of the configuration's keys is."""

from pydantic import BaseModel, ConfigDict


class Group(BaseModel):
    """Keys that stand together: unknown ones refused, nothing coerced, immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
