"""What drf-spectacular cannot see by itself (OpenAPI 3.1 at `/v1/schema/`)."""

from __future__ import annotations

from typing import Any

from drf_spectacular.contrib import rest_auth
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema

PROBLEM: dict[str, Any] = {
    "type": "object",
    "description": "RFC 9457. `code` of the first error names what went wrong for programs.",
    "required": ["type", "title", "status", "detail", "request_id", "errors"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "request_id": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["code", "detail", "attr"],
                "properties": {
                    "code": {"type": "string"},
                    "detail": {"type": "string"},
                    "attr": {"type": ["string", "null"]},
                },
            },
        },
    },
}
IDEMPOTENCY = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "Makes a repeated call return the first answer for 24 hours.",
    "schema": {"type": "string", "maxLength": 200},
}


# Their targets need allauth's social accounts, which are not installed; loading them warns.
for extension in (
    rest_auth.RestAuthRegisterView,
    rest_auth.RestAuthVerifyEmailView,
    rest_auth.RestAuthResendEmailVerificationView,
):
    extension.target_class = None  # type: ignore[assignment]  # as the package itself does


class Schema(AutoSchema):
    """Path ids are opaque strings; POSTs take an `Idempotency-Key`."""

    def _resolve_path_parameters(self, variables: list[str]) -> list[dict[str, Any]]:
        return [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            for name in variables
        ]

    def get_tags(self) -> list[str]:
        return [self.path.removeprefix("/v1/").split("/")[0]]

    def get_operation_id(self) -> str:
        operation: str = super().get_operation_id()
        return operation.removeprefix("v1_")

    def get_operation(self, *args: Any, **kwargs: Any) -> dict[str, Any] | None:
        operation: dict[str, Any] | None = super().get_operation(*args, **kwargs)
        if operation and self.method == "POST" and hasattr(self.view, "permissions_by_action"):
            operation.setdefault("parameters", []).append(IDEMPOTENCY)
        return operation


def add_problems(result: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
    """Every operation may answer a problem; there is one shared description of it."""
    components = result.setdefault("components", {})
    components.setdefault("schemas", {})["Problem"] = PROBLEM
    reference = {"$ref": "#/components/schemas/Problem"}
    components["responses"] = {
        "Problem": {
            "description": "What went wrong.",
            "content": {"application/problem+json": {"schema": reference}},
        }
    }
    for path in result["paths"].values():
        for operation in path.values():
            operation["responses"]["default"] = {"$ref": "#/components/responses/Problem"}
    return result


class TokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "accounts.auth.TokenAuthentication"
    name = "token"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "bearerFormat": "sb_…"}


class SessionScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "accounts.auth.DashboardSessionAuthentication"
    name = "session"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "apiKey", "in": "cookie", "name": "sb_session"}
