"""The smallest agent: says back what it hears. `AGENT_SECRET=whsec_… python echo_agent.py`"""

import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standardwebhooks import Webhook, WebhookVerificationError


class Echo(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        status, answer = 200, {}
        try:
            event = Webhook(os.environ["AGENT_SECRET"]).verify(body, dict(self.headers.items()))
            if event["type"] == "message.created":
                answer = {"reply": f"You said: {event['message']['text']}"}
        except (WebhookVerificationError, ValueError):
            status = 401
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())


ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("AGENT_PORT", 8001))), Echo).serve_forever()
