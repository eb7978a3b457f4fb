"""Files at signed addresses, for whoever holds one: agents, the sandbox phone, platforms."""

from __future__ import annotations

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from accounts.tenancy import account_context
from conversations.file_addresses import BadAddressError, read_address
from conversations.file_serving import answer_with, sentence
from conversations.models import Attachment


@require_safe
def serve(request: HttpRequest, signed: str) -> HttpResponseBase:
    """The file behind a signed address, whole or the asked-for range of it."""
    try:
        account_id, attachment_id = read_address(signed)
    except BadAddressError as error:
        return sentence(error.status, _("This address does not lead to a file, or not any more."))
    with account_context(account_id):
        attachment = Attachment.objects.filter(pk=attachment_id).first()
    return answer_with(request, attachment)
