"""`partlab app`: pages in the browser, alone or at `/ui` of a model server.

How a page is added: write one file (or a folder, if it needs several) in `app/web/pages/`, and
touch nothing else. It, or the folder's `__init__.py`, ends in

    PAGE = Page("robustness", "Robustness", "clean against attacked", build, order=20)

`build(site)` runs once, inside the page's own Gradio blocks (`from app.web.toolkit import gr`),
before anybody has come: it makes components and events. `app/web/pages/parts` is the example.

What `site` has:

- `given`: runs, data sets, stores, works, evaluations by name, as recognised; it may grow.
- `library`: data sets, read once, and pictures by name; `shelf`: segmenters and recognition
  models, in this process or of a server, loaded when first used.
- `shown`: files for the browser, in memory: `site.shown.picture(pixels)` is the address of a
  lossless PNG, `site.shown.put(data, name)` that of a download. No folder is ever opened.
- `work.shown(session, function)`: long work in a thread, told while it goes on, stopped with
  `work.cancel(session)`; it counts with `partlab.progress.track` and says what begins with
  `event("step", words=…)`.
- `opened(function, outputs)`: the page's first event. No data goes into components while
  building; choices and values come here, and `asked(request)` are the words of the address.
- `kept(name=component, …)`: these values stand in the address, so that a link can be sent.
- `needs("lead", event)`: this event asks for more than the page's `role=`. Roles are checked in
  one place for every way in, so functions need not; `person(request)` is who asks.
- `later(function)`: loading what will be needed, once the page has been drawn.

What holds for every page:

- Events are named `api_name="robustness_attack"`; those that only move things on the page, or
  get `gr.EventData`, say `api_visibility="private"`. A test looks at every event of every page.
- An error of partlab that is raised is told as a toast with its hint: catch nothing.
- `keys=(Key("Enter", "find the parts", "parts-go"),)`: a key, what it does, and the `elem_id` of
  the button that it presses. They stand in the help that `?` opens; the button says its key too.
- Looks and scripts of a page are CSS and JS files beside it; what pages share is in `look.css`
  and `look.js`. Scripts listen on `document`, since pages are redrawn. A large script is ES modules
  in `pages/NAME/modules/`, begun with `js_on_load=modules.begun("NAME/file.js")`. HTML is made with
  `partlab.pages.render` or `markup`, which escape what comes from outside, and stands in
  `gr.HTML(…, apply_default_css=False)`.
- `needs=` gets `site` and says in a sentence what must be given for the page to be of use, or
  None; the sentence stands in place of an empty page.
- torch is imported in functions, never when a page is built.
- Tests: `web_app.showing(places…)` is a running app, `opened(browser, PHONE)` a page that may
  speak with this machine only, and `test_site`, `test_access` look at every page there is.
"""
