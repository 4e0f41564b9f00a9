from tests.cloud.conftest import cloud, fresh_clients, stage

__all__ = ["cloud", "fresh_clients", "stage"]
