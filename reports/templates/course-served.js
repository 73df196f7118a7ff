// Where the page is served there are a prover and a workbench behind it.
"use strict";

const served = location.protocol.startsWith("http");
for (const link of document.querySelectorAll(".bench")) link.hidden = !served;
