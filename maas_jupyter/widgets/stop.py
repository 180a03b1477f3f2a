"""A Stop button that works while its kernel is busy with the training: it asks the Jupyter server, not the kernel.

A kernel handles a widget's event only when the cell has ended. The server's route leaves word in the run's folder,
where the loop looks a few times a second; the button needs nothing of the kernel, so it also works after the page was
loaded anew.
"""

from __future__ import annotations

from string import Template
from urllib.parse import quote

from maas_jupyter.widgets import html
from maas_jupyter.widgets.surface import display_handle

# One attribute, no script element: it is the same in the page that was loaded anew from the saved notebook. The page's
# settings and the cookie are what JupyterLab and Notebook themselves send with every request.
_PRESSED = Template(
    """(async button => {
  const say = text => { button.nextElementSibling.textContent = text; };
  const otherwise = 'Interrupt the cell, or in another notebook: %maas interrupt $short';
  const settings = document.getElementById('jupyter-config-data');
  if (!settings) { say(otherwise); return; }
  button.disabled = true;
  say('asking it to stop …');
  try {
    const page = JSON.parse(settings.textContent);
    const headers = {};
    const cookie = document.cookie.match(/\\b_xsrf=([^;]*)\\b/);
    if (cookie) headers['X-XSRFToken'] = cookie[1];
    if (page.token) headers.Authorization = 'token ' + page.token;
    const url = page.baseUrl.replace(/\\/*$$/, '/') + 'maas-jupyter/runs/$run_id/stop';
    const answer = await fetch(url, { method: 'POST', headers, credentials: 'same-origin' });
    if (answer.ok) { say('asked to stop; it keeps a checkpoint. How it ended: %maas attach $short'); return; }
    const told = await answer.json().catch(() => ({}));
    say((told.message || answer.status + ' ' + answer.statusText) + ' ' + (answer.status === 409 ? '' : otherwise));
  } catch (error) {
    say('The Jupyter server does not answer. ' + otherwise);
  }
  button.disabled = false;
})(this)"""
)

_STYLE = (
    "font:inherit;color:inherit;background:transparent;border:1px solid #7f7f7f;border-radius:4px;padding:1px 10px;"
    "cursor:pointer"
)


class StopButton:
    """An output of the cell with the button of one run; taken away when the run ends.

    Parameters
    ----------
    run_id : str
        MLflow's id of the run.
    """

    def __init__(self, run_id: str) -> None:
        self._run_id = run_id
        self._handle = display_handle()

    def show(self) -> None:
        """Put it into the cell."""
        if self._handle is not None:
            safe = quote(self._run_id, safe="")
            pressed = html.text(_PRESSED.substitute(run_id=safe, short=safe[:8]))
            markup = (
                f'<button type="button" style="{_STYLE}" title="Stop the run and keep a checkpoint" '
                f'onclick="{pressed}">&#9632; Stop</button> <span role="status" style="opacity:.75">in another page: '
                f"<code>%maas attach {safe[:8]}</code></span>"
            )
            self._handle.display(html.bundle(markup, ""), raw=True)

    def close(self, markup: str, twin: str) -> None:
        """Leave something else in its place."""
        if self._handle is not None:
            self._handle.update(html.bundle(markup, twin), raw=True)
