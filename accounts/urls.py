"""The pages of people, with full paths."""

from __future__ import annotations

from django.urls import include, path

from accounts.views import entry, mailbox, profile, settings, team

urlpatterns = [
    path("", include("accounts.api_urls")),
    path("signup/", entry.sign_up, name="sign_up"),
    path("signup/code/", entry.sign_up_code, name="sign_up_code"),
    path("login/", entry.log_in, name="login"),
    path("login/code/", entry.log_in_code, name="login_code"),
    path("login/confirm/", entry.prove, name="prove"),
    path("logout/", entry.log_out, name="logout"),
    path("password/", entry.reset, name="password_reset"),
    path("password/<str:uid>/<str:token>/", entry.reset_confirm, name="password_reset_confirm"),
    path("invitation/<str:token>/", entry.invitation, name="invitation"),
    path("accounts/", entry.accounts, name="accounts"),
    path("accounts/new/", entry.create_account, name="create_account"),
    path("accounts/none/", entry.no_account, name="no-account"),
    path("accounts/switch/", entry.switch_account, name="switch_account"),
    path("mailbox/", mailbox.letters, name="mailbox"),
    path("mailbox/<int:number>/", mailbox.letter, name="letter"),
    path("team/", team.people, name="team"),
    path("team/invite/", team.invite, name="invite"),
    path("team/invitations/<str:public_id>/withdraw/", team.withdraw, name="withdraw_invitation"),
    path("team/people/<str:public_id>/role/", team.change_role, name="change_role"),
    path("team/people/<str:public_id>/factor/remove/", team.remove_factor, name="remove_factor"),
    path("team/people/<str:public_id>/deactivate/", team.deactivate, name="deactivate_member"),
    path("team/people/<str:public_id>/reactivate/", team.reactivate, name="reactivate_member"),
    path("team/teams/", team.teams, name="teams"),
    path("team/teams/new/", team.create_team, name="create_team"),
    path("team/teams/<str:public_id>/", team.change_team, name="change_team"),
    path("team/teams/<str:public_id>/delete/", team.delete_team, name="delete_team"),
    path("settings/", settings.account, name="settings"),
    path("settings/tokens/", settings.tokens, name="tokens"),
    path("settings/tokens/<str:public_id>/revoke/", settings.revoke_token, name="revoke_token"),
    path("settings/support/", settings.support, name="support"),
    path("settings/support/switch/", settings.switch_support, name="switch_support"),
    path("settings/audit/", settings.audit_log, name="audit_log"),
    path("settings/profile/", profile.profile, name="profile"),
    path("settings/security/", profile.security, name="security"),
    path("settings/security/password/", profile.password, name="change_password"),
    path("settings/security/factor/", profile.switch_on_factor, name="factor_on"),
    path("settings/security/factor/off/", profile.switch_off_factor, name="factor_off"),
    path("settings/security/recovery/", profile.recovery_codes, name="recovery_codes"),
]
