from tests.operations.conftest import platform, record_operation, start_operation

__all__ = ["platform", "record_operation", "start_operation"]
