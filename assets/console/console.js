// Comfort only: every page works without it.
(() => {
  "use strict";

  // j and k walk along the calls; Enter opens the one in focus, as anywhere; u goes back to what waits.
  const step = (by) => {
    const calls = [...document.querySelectorAll(".calls a")];
    if (!calls.length) return;
    const at = calls.indexOf(document.activeElement);
    const next = at < 0 ? (by > 0 ? 0 : calls.length - 1) : Math.min(Math.max(at + by, 0), calls.length - 1);
    calls[next].focus();
  };
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest("input, textarea, select, [contenteditable]");
    if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "j") step(1);
    else if (event.key === "k") step(-1);
    else if (event.key === "u") location.assign("/");
    else return;
    event.preventDefault();
  });

  // Whether the list is live.
  const link = document.getElementById("link");
  const say = (text, live) => {
    if (!link) return;
    link.textContent = text;
    link.classList.toggle("live", live);
  };
  document.addEventListener("htmx:sse:after:connection", () => say("live", true));
  document.addEventListener("htmx:sse:after:message", (event) => {
    const named = event.detail?.message?.event;
    if (named === "away") say("the server can't read this now; it tries again", false);
    else if (!named) say("live", true);
  });
  document.addEventListener("htmx:sse:error", () => say("not connected; reload to see more", false));
  document.addEventListener("htmx:sse:close", () => say("reload to see more", false));

  // A form is sent once.
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.method !== "post") return;
    if (form.dataset.sent) return event.preventDefault();
    form.dataset.sent = "yes";
  });
  window.addEventListener("pageshow", () => {
    for (const form of document.forms) delete form.dataset.sent;
  });
})();
