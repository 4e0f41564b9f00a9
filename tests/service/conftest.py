"""What the service's tests have of the local cloud."""

from tests.cloud.conftest import fresh_clients, stage

__all__ = ["fresh_clients", "stage"]
