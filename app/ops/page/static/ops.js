// The page works without this file. It refreshes what changes, and asks before a button acts.
"use strict";

const EVERY_MS = 5000;

document.addEventListener("submit", (event) => {
  const question = event.target.dataset.ask;
  if (question && !window.confirm(question)) {
    event.preventDefault();
    return;
  }
  for (const button of event.target.querySelectorAll("button")) button.disabled = true;
});
// A page that comes back from the browser's own memory still has its buttons disabled.
window.addEventListener("pageshow", (event) => {
  if (event.persisted) window.location.reload();
});

/** Whether a person is at work inside an element: text is selected, something is open or has the focus. */
function isInUse(element) {
  const selection = document.getSelection();
  const isSelected = selection && !selection.isCollapsed && element.contains(selection.anchorNode);
  const focus = document.activeElement;
  return isSelected || element.querySelector("details[open]") || (focus !== document.body && element.contains(focus));
}

// What was asked or done once belongs neither into a refresh nor into a reload.
const address = new URL(window.location.href);
for (const name of ["ask", "done"]) address.searchParams.delete(name);
window.history.replaceState(null, "", address);

async function refresh() {
  const response = await fetch(window.location.href, { headers: { Accept: "text/html" }, credentials: "same-origin" });
  if (!response.ok || response.redirected) return;
  const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
  for (const old of document.querySelectorAll("[data-fresh]")) {
    const found = fresh.getElementById(old.id);
    if (found && found.outerHTML !== old.outerHTML && !isInUse(old)) old.replaceWith(document.adoptNode(found));
  }
}

if (document.querySelector("[data-fresh]")) {
  window.setInterval(() => {
    // A laptop asleep or a server in restart is no error: the next time comes.
    if (!document.hidden) refresh().catch(() => {});
  }, EVERY_MS);
}
