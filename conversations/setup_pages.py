"""Settings of the desk: saved replies, labels and attributes."""

from __future__ import annotations

from typing import Any

from django.db.models import Count, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpResponse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.auth import MemberRequest, member_required
from accounts.pages import done, find, show
from accounts.permissions import Permission
from conversations import services
from conversations.errors import FieldError
from conversations.models import (
    AttributeDefinition,
    ContactLabel,
    ConversationLabel,
    Label,
    SavedReply,
)
from conversations.setup_forms import DefinitionForm, LabelSetupForm, SavedReplyForm

page = require_http_methods(["GET", "HEAD", "POST"])
# As many on a page; more are found by searching.
MOST = 200


def words_of(request: MemberRequest) -> str:
    """What a page is searched for."""
    return request.GET.get("q", "").replace("\x00", "").strip()[:100]


# --- Saved replies -------------------------------------------------------------------------------


@member_required(Permission.CONFIG_READ)
@require_safe
def saved_replies(request: MemberRequest) -> HttpResponse:
    query = words_of(request)
    found = SavedReply.objects.usable_by(request.member).matching(query).select_related("team")
    listed = list(found.order_by("code")[: MOST + 1])
    context = {"replies": listed[:MOST], "query": query, "more": len(listed) > MOST}
    return show(request, "conversations/setup/replies.html", context)


@member_required(Permission.CONFIG_WRITE)
@page
def create_saved_reply(request: MemberRequest) -> HttpResponse:
    form = SavedReplyForm(request.POST or None, member=request.member)
    if form.is_valid():
        try:
            reply = services.create_saved_reply(**form.cleaned_data, by=request.member)
        except FieldError as error:
            form.add_error(error.field, error.message)
        else:
            return done(request, _("%(name)s can be used now.") % {"name": reply}, "saved_replies")
    return show(request, "conversations/setup/reply.html", {}, form=form)


@member_required(Permission.CONFIG_WRITE)
@page
def change_saved_reply(request: MemberRequest, public_id: str) -> HttpResponse:
    usable = SavedReply.objects.usable_by(request.member)
    reply = find(usable, SavedReply.public_id, public_id)
    form = SavedReplyForm(request.POST or None, instance=reply, member=request.member)
    if form.is_valid():
        try:
            services.update_saved_reply(reply, **form.cleaned_data, by=request.member)
        except FieldError as error:
            form.add_error(error.field, error.message)
        else:
            return done(request, _("Saved."), "saved_replies")
    context = {"reply": usable.get(pk=reply.pk)}
    return show(request, "conversations/setup/reply.html", context, form=form)


@member_required(Permission.CONFIG_WRITE)
@require_POST
def delete_saved_reply(request: MemberRequest, public_id: str) -> HttpResponse:
    usable = SavedReply.objects.usable_by(request.member)
    reply = find(usable, SavedReply.public_id, public_id)
    services.delete_saved_reply(reply, by=request.member)
    return done(request, _("%(name)s is deleted.") % {"name": reply}, "saved_replies")


# --- Labels --------------------------------------------------------------------------------------


def with_uses(labels: QuerySet[Label]) -> QuerySet[Label]:
    """With `on_conversations` and `on_contacts`: how many have each."""
    return labels.annotate(
        on_conversations=_uses(ConversationLabel.objects.all()),
        on_contacts=_uses(ContactLabel.objects.all()),
    )


def _uses(links: QuerySet[Any]) -> Coalesce:
    """How many of `links` there are to the label at hand; one that nothing has has none."""
    of_label = links.filter(label=OuterRef("pk")).order_by().values("label")
    return Coalesce(Subquery(of_label.annotate(n=Count("pk")).values("n")), 0)


@member_required(Permission.CONFIG_READ)
@require_safe
def labels(request: MemberRequest) -> HttpResponse:
    query = words_of(request)
    found = Label.objects.filter(name__icontains=query)
    listed = list(with_uses(found).order_by("name")[: MOST + 1])
    context = {"labels": listed[:MOST], "query": query, "more": len(listed) > MOST}
    return show(request, "conversations/setup/labels.html", context)


@member_required(Permission.CONFIG_WRITE)
@page
def create_label(request: MemberRequest) -> HttpResponse:
    form = LabelSetupForm(request.POST or None)
    if form.is_valid():
        try:
            label = services.create_label(**form.cleaned_data, by=request.member)
        except FieldError as error:
            form.add_error(error.field, error.message)
        else:
            return done(request, _("Label %(name)s is there.") % {"name": label}, "labels")
    return show(request, "conversations/setup/label.html", {}, form=form)


@member_required(Permission.CONFIG_WRITE)
@page
def change_label(request: MemberRequest, public_id: str) -> HttpResponse:
    label = find(Label.objects.all(), Label.public_id, public_id)
    form = LabelSetupForm(request.POST or None, instance=label)
    if form.is_valid():
        try:
            services.update_label(label, **form.cleaned_data, by=request.member)
        except FieldError as error:
            form.add_error(error.field, error.message)
        else:
            return done(request, _("Saved."), "labels")
    context = {"label": with_uses(Label.objects.filter(pk=label.pk)).get()}
    return show(request, "conversations/setup/label.html", context, form=form)


@member_required(Permission.CONFIG_WRITE)
@require_POST
def delete_label(request: MemberRequest, public_id: str) -> HttpResponse:
    label = find(Label.objects.all(), Label.public_id, public_id)
    services.delete_label(label, by=request.member)
    return done(request, _("Label %(name)s is deleted.") % {"name": label}, "labels")


# --- Attributes ----------------------------------------------------------------------------------


@member_required(Permission.CONFIG_READ)
@require_safe
def definitions(request: MemberRequest) -> HttpResponse:
    listed = AttributeDefinition.objects.order_by("of", "name")
    return show(request, "conversations/setup/attributes.html", {"definitions": listed})


@member_required(Permission.CONFIG_WRITE)
@page
def define_attribute(request: MemberRequest) -> HttpResponse:
    form = DefinitionForm(request.POST or None)
    if form.is_valid():
        try:
            made = services.define_attribute(**form.cleaned_data, by=request.member)
        except FieldError as error:
            form.add_error(error.field, error.message)
        else:
            return done(request, _("%(name)s is defined.") % {"name": made}, "definitions")
    return show(request, "conversations/setup/attribute.html", {}, form=form)


@member_required(Permission.CONFIG_WRITE)
@page
def change_definition(request: MemberRequest, public_id: str) -> HttpResponse:
    rows = AttributeDefinition.objects.all()
    definition = find(rows, AttributeDefinition.public_id, public_id)
    form = DefinitionForm(request.POST or None, instance=definition)
    if form.is_valid():
        try:
            services.update_definition(definition, **form.cleaned_data, by=request.member)
        except FieldError as error:
            form.add_error(error.field, error.message)
        else:
            return done(request, _("Saved."), "definitions")
    context = {"definition": rows.get(pk=definition.pk)}
    return show(request, "conversations/setup/attribute.html", context, form=form)


@member_required(Permission.CONFIG_WRITE)
@require_POST
def delete_definition(request: MemberRequest, public_id: str) -> HttpResponse:
    rows = AttributeDefinition.objects.all()
    definition = find(rows, AttributeDefinition.public_id, public_id)
    services.delete_definition(definition, by=request.member)
    text = _("%(name)s is not defined any more.")
    return done(request, text % {"name": definition}, "definitions")
