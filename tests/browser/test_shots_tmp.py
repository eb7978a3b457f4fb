import os
from tests.browser.test_pages import *
from tests.browser.test_pages import furnished
def test_shots(furnished, open_page, tmp_path):
    only = os.environ.get("ONLY","").split(",") if os.environ.get("ONLY") else None
    os.makedirs("/tmp/shots",exist_ok=True)
    for width,dark in ((1440,False),(390,False),(1440,True)):
        page = open_page(furnished.owner, furnished.path["setup"], width=width, dark=dark)
        for name,path in furnished.path.items():
            if only and name not in only: continue
            page.goto(path)
            page.add_style_tag(path="/tmp/shot.css") if False else None
            # full page: main scrolls, so enlarge the window
            h = page.evaluate("Math.max(860, (document.querySelector('main')?.scrollHeight||860)+80)")
            page.set_viewport_size({"width":width,"height":min(int(h),2600)})
            page.screenshot(path=f"/tmp/shots/{name}-{width}{'d' if dark else ''}.png")
            page.set_viewport_size({"width":width,"height":860})
