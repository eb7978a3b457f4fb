"""`/v1/`: the account, its people, logging in, and the description of the API."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, include, path, re_path
from django.views.decorators.cache import cache_control
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView
from rest_framework.permissions import AllowAny

from accounts import api, auth_api
from accounts.rest.routes import Router

router = Router()
router.register("members", api.MemberViewSet, "api-members")
router.register("invitations", api.InvitationViewSet, "api-invitations")
router.register("teams", api.TeamViewSet, "api-teams")
router.register("tokens", api.TokenViewSet, "api-tokens")

# No account's data is in the description, so everybody may read it.
schema = cache_control(public=True, max_age=300)(
    SpectacularAPIView.as_view(authentication_classes=(), permission_classes=(AllowAny,))
)
docs = SpectacularSwaggerView.as_view(
    url_name="api-schema", authentication_classes=(), permission_classes=(AllowAny,)
)

auth_urls = [
    re_path("^login/?$", auth_api.LoginView.as_view(), name="api-login"),
    re_path("^mfa/verify/?$", auth_api.FactorView.as_view(), name="api-mfa-verify"),
    re_path("^confirm/?$", auth_api.ConfirmView.as_view(), name="api-confirm"),
    re_path("^logout/?$", auth_api.LogoutView.as_view(), name="api-logout"),
    re_path("^user/?$", auth_api.UserView.as_view(), name="api-user"),
    re_path("^password/change/?$", auth_api.PasswordChangeView.as_view(), name="api-password"),
    re_path("^password/reset/?$", auth_api.PasswordResetView.as_view(), name="api-reset"),
    re_path(
        "^password/reset/confirm/?$",
        auth_api.PasswordResetConfirmView.as_view(),
        name="api-reset-confirm",
    ),
]

urlpatterns: list[URLPattern | URLResolver] = [
    re_path("^v1/me/?$", api.MeViewSet.as_view({"get": "show"}), name="api-me"),
    re_path(
        "^v1/account/?$",
        api.AccountView.as_view({"get": "show", "patch": "change"}),
        name="api-account",
    ),
    path("v1/auth/", include(auth_urls)),
    re_path("^v1/schema/?$", schema, name="api-schema"),
    re_path("^v1/docs/?$", docs, name="api-docs"),
    path("v1/", include(router.urls)),
]
