// Follows the inbox: asks for the page each second and takes over its messages and binds when they have changed.
"use strict";
const live = document.getElementById("live");
async function follow() {
  try {
    const answer = await fetch(location.href, { cache: "no-store", signal: AbortSignal.timeout(5000) });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const id of ["messages", "binds"]) {
      const shown = document.getElementById(id);
      const fresh = page.getElementById(id);
      if (fresh && fresh.innerHTML !== shown.innerHTML) shown.replaceChildren(...fresh.childNodes);
    }
    live.textContent = "";
  } catch {
    live.textContent = "The simulator does not answer; what you see may be old.";
  }
  setTimeout(follow, 1000);
}
setTimeout(follow, 1000);
