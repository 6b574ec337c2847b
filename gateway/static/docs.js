// Shows lair's own document. Addresses are relative: the page also stands under /p/<project>.
window.addEventListener("load", () => {
  SwaggerUIBundle({
    url: "openapi.json",
    dom_id: "#api",
    deepLinking: true,
    docExpansion: "list",
    filter: true,
    tryItOutEnabled: true,
    syntaxHighlight: { activated: true, theme: "agate" },
    validatorUrl: null,
  });
});
