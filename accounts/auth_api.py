"""`/v1/auth/`: dj-rest-auth's routes on our one way to log in (SX-42).

The package's own views look at the password only, so each is overridden where it starts a session or
changes a password; tokens for programs are made at `/v1/tokens/`, never here.
"""

from __future__ import annotations

from typing import Any, cast

from dj_rest_auth import views as dj_rest_auth
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework.authentication import SessionAuthentication
from rest_framework.exceptions import APIException, Throttled, ValidationError
from rest_framework.generics import GenericAPIView
from rest_framework.permissions import AllowAny, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import identity
from accounts.identity import LoggedIn, Outcome, Refused, SecondFactorNeeded
from accounts.models import User
from accounts.serializers import (
    ConfirmedSerializer,
    DetailSerializer,
    FactorSerializer,
    LoginAnswerSerializer,
    LoginSerializer,
    PasswordChangeSerializer,
    PasswordResetConfirmSerializer,
    PasswordResetSerializer,
    ProofSerializer,
    UserSerializer,
)
from accounts.sessions import FRESH

# Sessions only: a leaked API token must not be able to change a password.
SESSION: tuple[Any, ...] = (SessionAuthentication,)


class LoginRefusedError(APIException):
    """400 with the code of the refusal."""

    status_code = 400

    def __init__(self, refused: Refused) -> None:
        super().__init__(refused.message, refused.code)


class LoginView(dj_rest_auth.LoginView):  # type: ignore[misc]  # untyped
    """E-mail and password: a session, or `mfa_required` with a token for `mfa/verify/`."""

    authentication_classes = ()
    permission_classes = (AllowAny,)
    serializer_class = LoginSerializer

    @extend_schema(request=LoginSerializer, responses=LoginAnswerSerializer)
    def post(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        given = read(self, request)
        return answer(identity.log_in(request._request, given["email"], given["password"]))


class FactorView(GenericAPIView[Any]):
    """The second factor: the token of the login and a code; then the session is there."""

    authentication_classes = ()
    permission_classes = (AllowAny,)
    serializer_class = FactorSerializer

    @extend_schema(request=FactorSerializer, responses=LoginAnswerSerializer)
    def post(self, request: Request) -> Response:
        given = read(self, request)
        return answer(
            identity.verify_second_factor(request._request, given["ephemeral_token"], given["code"])
        )


class ConfirmView(GenericAPIView[Any]):
    """Before a sensitive act of a session: a code, or without a second factor the password."""

    authentication_classes = SESSION
    permission_classes = (IsAuthenticated,)
    serializer_class = ProofSerializer

    @extend_schema(request=ProofSerializer, responses=ConfirmedSerializer)
    def post(self, request: Request) -> Response:
        given = read(self, request)
        user = cast(User, request.user)
        refused = identity.prove_again(request._request, user, given["proof"])
        return answer(refused) if refused else Response({"fresh_for": int(FRESH)})


class LogoutView(dj_rest_auth.LogoutView):  # type: ignore[misc]  # untyped
    """Ends the session."""

    authentication_classes = SESSION
    permission_classes = (AllowAny,)
    http_method_names = ("post",)

    @extend_schema(request=None, responses=DetailSerializer)
    def post(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        identity.log_out(request._request)
        return Response({"detail": _("You are logged out.")})


class UserView(dj_rest_auth.UserDetailsView):  # type: ignore[misc]  # untyped
    """The person who is logged in."""

    authentication_classes = SESSION
    serializer_class = UserSerializer
    http_method_names = ("get", "patch")


class PasswordChangeView(dj_rest_auth.PasswordChangeView):  # type: ignore[misc]  # untyped
    """A new password ends every other session."""

    authentication_classes = SESSION
    serializer_class = PasswordChangeSerializer

    @extend_schema(request=PasswordChangeSerializer, responses=DetailSerializer)
    def post(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        given = read(self, request)
        user = cast(User, request.user)
        refused = identity.confirm_password(request._request, user, given["old_password"])
        if refused:
            return answer(refused)
        check_new(given["new_password"], user)
        identity.change_password(request._request, user, given["new_password"])
        return Response({"detail": _("The new password is saved.")})


class PasswordResetView(dj_rest_auth.PasswordResetView):  # type: ignore[misc]  # untyped
    """A letter with a link, if somebody has this e-mail; the answer is the same if nobody has."""

    authentication_classes = ()
    serializer_class = PasswordResetSerializer

    @extend_schema(request=PasswordResetSerializer, responses=DetailSerializer)
    def post(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        given = read(self, request)
        refused = identity.request_password_reset(request._request, given["email"])
        if refused:
            return answer(refused)
        return Response(
            {"detail": _("If somebody has this e-mail, a letter is on its way to them.")}
        )


class PasswordResetConfirmView(dj_rest_auth.PasswordResetConfirmView):  # type: ignore[misc]
    """The link's uid and token, once. It does not log in: a second factor stays due."""

    authentication_classes = ()
    serializer_class = PasswordResetConfirmSerializer

    @extend_schema(request=PasswordResetConfirmSerializer, responses=DetailSerializer)
    def post(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        given = read(self, request)
        user = identity.user_of_reset_link(given["uid"], given["token"])
        if user is not None:
            check_new(given["new_password"], user)
            user = identity.reset_password(given["uid"], given["token"], given["new_password"])
        if user is None:
            raise ValidationError(
                {"token": _("This link was used already or is too old. Ask for a new one.")},
                code="link_over",
            )
        return Response({"detail": _("The new password is saved. Log in with it.")})


def read(view: Any, request: Request) -> dict[str, Any]:
    """The validated body."""
    serializer = view.get_serializer(data=request.data)
    serializer.is_valid(raise_exception=True)
    values: dict[str, Any] = serializer.validated_data
    return values


def answer(outcome: Outcome) -> Response:
    """An outcome of `identity` on the wire."""
    match outcome:
        case LoggedIn():
            return Response({"mfa_required": False})
        case SecondFactorNeeded(token=token):
            return Response(
                {
                    "mfa_required": True,
                    "ephemeral_token": token,
                    "expires_in": identity.TOKEN_LIFE,
                }
            )
        case Refused(status=429):
            raise Throttled(outcome.wait, detail=outcome.message)
    raise LoginRefusedError(outcome)


def check_new(password: str, user: Any) -> None:
    """Raises `ValidationError` with what is wrong with a new password."""
    problems = identity.password_problems(password, user)
    if problems:
        raise ValidationError({"new_password": problems}, code="weak_password")
