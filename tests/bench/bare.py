"""The floor of an API call: a DRF view that inserts one row and does nothing else, behind the server and the
middleware that every call has. It is the product with one address more; see `bare_settings`."""

from __future__ import annotations

from django.urls import path
from rest_framework import serializers
from rest_framework.generics import CreateAPIView

import config.urls
from accounts.models import LocalLetter


class LetterSerializer(serializers.ModelSerializer[LocalLetter]):
    class Meta:
        model = LocalLetter
        fields = ["id", "to", "subject", "body", "sent_at"]


class Letters(CreateAPIView[LocalLetter]):
    queryset = LocalLetter.objects.all()
    serializer_class = LetterSerializer
    authentication_classes = ()
    permission_classes = ()


urlpatterns = [path("bare/", Letters.as_view()), *config.urls.urlpatterns]
