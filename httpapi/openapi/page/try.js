// Shows the document that the address names after its #, the first without one.
"use strict";
const { root, origins } = document.body.dataset;
const links = [...document.querySelectorAll("nav a")];

function show() {
  const link = links.find((a) => a.hash === location.hash) ?? links[0];
  for (const a of links) a.classList.toggle("shown", a === link);
  const name = link.hash.slice(1);
  for (const form of ["yaml", "json"]) document.getElementById(form).href = name + "." + form;
  SwaggerUIBundle({
    url: name + ".json",
    dom_id: "#api",
    presets: [SwaggerUIBundle.presets.apis],
    layout: "BaseLayout",
    validatorUrl: null,
    persistAuthorization: false,
    displayRequestDuration: true,
    tryItOutEnabled: true,
    requestSnippetsEnabled: false,
  });
}

const own = location.origin;
if (own !== root && !origins.split(" ").includes(own)) {
  document.getElementById("origin").textContent = own;
  document.getElementById("refused").hidden = false;
}
addEventListener("hashchange", show);
show();
