"""The desk's pages, the parts that fetch themselves, and the acts."""

from __future__ import annotations

from django.urls import include, path

from conversations import acts, merging_pages, setup_pages, ui, views

urlpatterns = [
    path("", include("conversations.api_urls")),
    path("", views.home, name="home"),
    path("inbox/", views.home, name="inbox"),
    path("inbox/rows/", views.rows, name="conversation_rows"),
    path("inbox/find/", views.find, name="find"),
    path("inbox/files/<str:public_id>/", views.attachment, name="attachment"),
    path("inbox/<str:public_id>/", views.show, name="conversation"),
    path("inbox/<str:public_id>/pane/", views.pane, name="conversation_pane"),
    path("inbox/<str:public_id>/assign/", acts.assign, name="assign"),
    path("inbox/<str:public_id>/take-over/", acts.take_over, name="take_over"),
    path("inbox/<str:public_id>/give-back/", acts.give_back, name="give_back"),
    path("inbox/<str:public_id>/resolve/", acts.resolve, name="resolve"),
    path("inbox/<str:public_id>/reopen/", acts.reopen, name="reopen"),
    path("inbox/<str:public_id>/snooze/", acts.snooze, name="snooze"),
    path("inbox/<str:public_id>/label/", acts.label, name="label"),
    path("inbox/<str:public_id>/label-contact/", acts.label_contact, name="label_contact"),
    path("inbox/<str:public_id>/notes/", acts.note_contact, name="note_contact"),
    path(
        "inbox/<str:public_id>/notes/<str:note>/delete/",
        acts.delete_contact_note,
        name="delete_contact_note",
    ),
    path("inbox/<str:public_id>/read/", acts.read, name="read"),
    path("inbox/<str:public_id>/erase/", acts.erase, name="erase_contact"),
    path("inbox/<str:public_id>/merge/", merging_pages.merge, name="merge_contacts"),
    path("inbox/<str:public_id>/replies/", views.offer_replies, name="offer_replies"),
    path("inbox/<str:public_id>/reply/", acts.reply, name="reply"),
    path("inbox/<str:public_id>/drafts/<str:message>/use/", acts.use_draft, name="use_draft"),
    path("inbox/<str:public_id>/drafts/<str:message>/drop/", acts.drop_draft, name="drop_draft"),
    path("settings/labels/", setup_pages.labels, name="labels"),
    path("settings/labels/new/", setup_pages.create_label, name="create_label"),
    path("settings/labels/<str:public_id>/", setup_pages.change_label, name="change_label"),
    path("settings/labels/<str:public_id>/delete/", setup_pages.delete_label, name="delete_label"),
    path("settings/attributes/", setup_pages.definitions, name="definitions"),
    path("settings/attributes/new/", setup_pages.define_attribute, name="define_attribute"),
    path(
        "settings/attributes/<str:public_id>/",
        setup_pages.change_definition,
        name="change_definition",
    ),
    path(
        "settings/attributes/<str:public_id>/delete/",
        setup_pages.delete_definition,
        name="delete_definition",
    ),
    path("settings/replies/", setup_pages.saved_replies, name="saved_replies"),
    path("settings/replies/new/", setup_pages.create_saved_reply, name="create_saved_reply"),
    path(
        "settings/replies/<str:public_id>/",
        setup_pages.change_saved_reply,
        name="change_saved_reply",
    ),
    path(
        "settings/replies/<str:public_id>/delete/",
        setup_pages.delete_saved_reply,
        name="delete_saved_reply",
    ),
    path("ui/", ui.page, name="ui"),
]
