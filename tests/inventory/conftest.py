from tests.operations.conftest import record_operation, start_operation

__all__ = ["record_operation", "start_operation"]
