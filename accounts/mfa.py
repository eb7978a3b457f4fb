"""The second factor's store is allauth's; its secrets are sealed here (SX-41)."""

from __future__ import annotations

import base64

from allauth.mfa.adapter import DefaultMFAAdapter

from accounts.sealing import seal, unseal

# allauth does not say whose secret it hands over, so the value is bound to its purpose, not its row.
CONTEXT = "mfa.secret"


class EncryptedMFAAdapter(DefaultMFAAdapter):  # type: ignore[misc]  # allauth is untyped
    """Keeps TOTP secrets and the seeds of recovery codes under `FIELD_KEYS`."""

    def encrypt(self, text: str) -> str:
        return base64.b64encode(seal(text.encode(), context=CONTEXT)).decode()

    def decrypt(self, encrypted_text: str) -> str:
        return unseal(base64.b64decode(encrypted_text), context=CONTEXT).decode()
