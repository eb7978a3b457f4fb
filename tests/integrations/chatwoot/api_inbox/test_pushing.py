"""What is answered reaches the app: pushed to its webhook in Chatwoot's words, or asked for."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connections

from conversations import services
from conversations.messages import Choice, Content, DeliveryStatus, Kind, Template
from conversations.models import Message
from integrations import routes
from integrations.chatwoot.signing import sign
from tests.factories import make_house
from tests.integrations.chatwoot import schemas
from tests.integrations.chatwoot.api_inbox.conftest import App, Customer, make_app
from tests.integrations.couriers import Reply, Request, Server, courier, wait_for
from tests.integrations.test_door import at_door, call

pytestmark = pytest.mark.usefixtures("clean_database")


def answered(customer: Customer, content: Content) -> Callable[[], Message]:
    """Somebody answers; returns how the message is now."""
    with customer.app.inside():
        message = services.post_message(
            customer.conversation(), content=content, author=customer.app.house.person
        )

    def now() -> Message:
        with customer.app.inside():
            return Message.objects.get(pk=message.pk)

    return now


def status_of(now: Callable[[], Message], *wanted: DeliveryStatus) -> Message:
    wait_for(lambda: now().status in wanted)
    return now()


def test_an_answer_is_pushed_as_their_message_created() -> None:
    with Server(lambda request: Reply()) as server:
        app = make_app(make_house(), webhook_url=f"{server.url}/hook", secret="s3cret")
        ana = app.customer("ana", name="Ana")
        ana.says("Hello")
        with courier():
            now = answered(ana, Content(text="With pleasure"))
            message = status_of(now, DeliveryStatus.SENT)
        [request] = server.requests
    body = request.json
    assert (request.path, body["event"], body["message_type"]) == (
        "/hook", "message_created", "outgoing",
    )  # fmt: skip
    assert (body["id"], body["content"], body["private"]) == (message.pk, "With pleasure", False)
    assert body["conversation"]["id"] == ana.number
    assert body["conversation"]["channel"] == "Channel::Api"
    assert body["conversation"]["contact_inbox"]["source_id"] == "ana"
    assert body["conversation"]["meta"]["sender"]["name"] == "Ana"
    assert body["sender"]["type"] == "user"
    assert body["inbox"] == {"id": app.inbox.pk, "name": "Our app"}
    timestamp = int(request.headers["X-Chatwoot-Timestamp"])
    signed = sign(request.body, timestamp=timestamp, secret="s3cret")
    assert request.headers["X-Chatwoot-Signature"] == signed
    assert request.headers["Content-Type"] == "application/json"
    assert len(request.headers["X-Chatwoot-Delivery"]) == 36
    assert message.external_id.startswith("api:msg_")
    schemas.check(body)


def test_choices_and_private_notes(app_and_server: tuple[App, Server]) -> None:
    """Notes stay here; what there is to choose is in `content_attributes`."""
    app, server = app_and_server
    ana = app.customer("ana")
    choices = (Choice("yes", "Yes"), Choice("no", "No"))
    with app.inside():
        services.add_note(ana.conversation(), text="a note", author=app.house.person)
    with courier():
        status_of(
            answered(ana, Content(kind=Kind.BUTTONS, text="Shall we?", buttons=choices)),
            DeliveryStatus.SENT,
        )
    [request] = server.requests
    assert request.json["content_type"] == "input_select"
    assert request.json["content_attributes"]["items"] == [
        {"title": "Yes", "value": "yes"},
        {"title": "No", "value": "no"},
    ]
    assert "X-Chatwoot-Signature" not in request.headers


def test_templates_are_for_the_app_to_send(app_and_server: tuple[App, Server]) -> None:
    app, server = app_and_server
    ana = app.customer("ana")
    template = Template("order_ready", "ro", "UTILITY", body=(("1", "Ana"),))
    with courier():
        status_of(
            answered(ana, Content(kind=Kind.TEMPLATE, text="Ready", template=template)),
            DeliveryStatus.SENT,
        )
    [request] = server.requests
    schemas.check(request.json)
    wanted = {
        "name": "order_ready", "language": "ro", "category": "UTILITY",
        "processed_params": {"body": {"1": "Ana"}},
    }  # fmt: skip
    assert request.json["additional_attributes"] == {"template_params": wanted}
    assert (request.json["message_type"], request.json["content"]) == ("outgoing", "Ready")


@pytest.fixture
def app_and_server(clean_database: None):
    with Server(lambda request: Reply()) as server:
        yield make_app(make_house(), webhook_url=server.url), server


def test_who_fails_is_asked_again_with_the_same_id(app_and_server: tuple[App, Server]) -> None:
    app, server = app_and_server

    def answer(request: Request) -> Reply:
        return Reply(503 if len(server.requests) == 1 else 200)

    server.answer = answer
    ana = app.customer("ana")
    with courier():
        status_of(answered(ana, Content(text="Hello")), DeliveryStatus.SENT)
    first, second = server.requests
    assert first.headers["X-Chatwoot-Delivery"] == second.headers["X-Chatwoot-Delivery"]
    assert first.json["id"] == second.json["id"]


def test_who_refuses_is_believed(app_and_server: tuple[App, Server]) -> None:
    app, server = app_and_server
    server.answer = lambda request: Reply(404, b"no such hook")
    ana = app.customer("ana")
    with courier():
        message = status_of(answered(ana, Content(text="Hello")), DeliveryStatus.FAILED)
    assert "HTTP 404" in message.error_text
    assert len(server.requests) == 1
    assert app.get(ana.messages).json() == []


def test_without_a_webhook_it_has_arrived_when_it_can_be_asked_for() -> None:
    app = make_app(make_house())
    ana = app.customer("ana")
    with courier():
        status_of(answered(ana, Content(text="Hello")), DeliveryStatus.DELIVERED)
    assert [one["content"] for one in app.get(ana.messages).json()] == ["Hello"]


def test_what_an_app_sends_twice_at_once_is_said_once() -> None:
    """An app that had no answer in time asks again, while the first call is still under way."""
    app = make_app(make_house())
    ana = app.customer("ana")

    def say(_n: int) -> tuple[int, int]:
        try:
            said = app.post(ana.messages, {"content": "Hello", "echo_id": "e-1"})
            return said.status_code, said.json()["id"]
        finally:
            connections.close_all()

    with ThreadPoolExecutor(4) as pool:
        heard = set(pool.map(say, range(8)))
    assert len(heard) == 1
    assert {status for status, _id in heard} == {200}
    with app.inside():
        assert Message.objects.count() == 1


def test_the_hook_door_is_closed() -> None:
    """What customers say comes by the client API, which knows whose words they are."""
    app = make_app(make_house())
    with app.inside():
        token = routes.route_token(app.inbox)
        assert routes.hook_url(app.inbox).endswith(f"/public/api/v1/inboxes/{token}")
    said = json.dumps({"contact": "ana", "id": "1", "kind": "text", "text": "x"}).encode()
    status, _headers, _body = at_door(lambda door: call(door, f"/hooks/api/{token}", said))
    assert status == 401
