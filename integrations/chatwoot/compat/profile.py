"""`/api/v1/profile`: whose token this is. The usual test of a connection."""

from __future__ import annotations

from typing import ClassVar

from rest_framework.request import Request
from rest_framework.response import Response

from accounts.permissions import Permission
from integrations.chatwoot.auth import presented
from integrations.chatwoot.compat.base import CompatView, P
from integrations.chatwoot.shapes.people import profile_json


class Profile(CompatView):
    permissions_by_action: ClassVar[dict[str, Permission]] = {"get": P.ACCOUNT_READ}

    def get(self, request: Request) -> Response:
        return Response(profile_json(self.member, self.account, presented(request)))
