"""`partlab app`: pages in the browser, alone or at `/ui` of a model server.

How a page is added: write one file (or a folder, if it needs several) in `app/web/pages/`, and
nothing else. It, or the folder's `__init__.py`, ends in

    PAGE = Page("robustness", "Robustness", "clean against attacked", build, order=20)

`build(site)` runs once, inside the page's own Gradio blocks, before anybody has come. It makes
components and events and asks `site` for the rest: `site.given` (runs, data sets, stores, works
that were named), `site.library` (data sets and the pictures in them, by name), `site.shelf`
(segmenters and recognition models, loaded when first used),
`site.shown` (pictures and files for the browser, kept in memory: `site.shown.picture(pixels)`
gives the address of a lossless PNG), `site.work` (long work with progress and cancelling), and
`person(request)` (who asks; `request: gr.Request` is an argument of any event's function).

- The page's address is its path; `role=` is the least role that may open it and call its events,
  and one event may ask for more: `site.needs("lead", event)`. Both are checked in one place for
  every way in, so a function need not.
- No data goes into components while building: choices and values come with the page's first
  event, `site.opened(function, outputs)`, whose `asked(request)` are the words of the address.
  `site.kept(name=component, …)` keeps values of components in the address, so that it can be sent.
- Events are named `api_name="robustness_attack"`; those that only move things on the page say
  `api_visibility="private"`. A test looks at every event of every page.
- An error of partlab raised in a function is told as a toast with its hint; nothing is caught.
- `keys=(Key("Enter", "Segment", "parts-go"),)`: a key, what it does, and the `elem_id` of the
  button it presses. They stand in the help that `?` opens, and on the button.
- Looks and scripts of one page are CSS and JS files beside its own; what pages share is
  in `look.css` and `look.js`. Scripts listen on `document` (pages are redrawn). HTML is made by
  `partlab.pages.render` or `markup`, which escape what comes from outside.
- `needs=` says in one sentence what must be given for the page to be of use, or None: it is
  shown in place of an empty page. Nothing here may import torch when the page is built: import it
  in functions.
"""
