// Follows the inbox: asks for the page each second and takes over its list of messages when that has changed.
"use strict";
const live = document.getElementById("live");
async function follow() {
  try {
    const answer = await fetch(location.href, { cache: "no-store", signal: AbortSignal.timeout(5000) });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const list = document.getElementById("messages");
    const fresh = page.getElementById("messages");
    if (fresh && fresh.innerHTML !== list.innerHTML) list.replaceChildren(...fresh.childNodes);
    live.textContent = "";
  } catch {
    live.textContent = "The simulator does not answer; what you see may be old.";
  }
  setTimeout(follow, 1000);
}
setTimeout(follow, 1000);
