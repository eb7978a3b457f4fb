"""The phone's own pages; its messages go through the hook door."""

from __future__ import annotations

from django.urls import path

from integrations.sandbox import views

urlpatterns = [
    path("sandbox/<str:token>/", views.page, name="sandbox"),
    path("sandbox/<str:token>/thread/", views.thread, name="sandbox_thread"),
    path("sandbox/<str:token>/ticket/", views.ticket, name="sandbox_ticket"),
    path("sandbox/<str:token>/upload/", views.upload, name="sandbox_upload"),
    path("sandbox/<str:token>/say/", views.say, name="sandbox_say"),
    path("sandbox/<str:token>/start-over/", views.start_over, name="sandbox_start_over"),
]
