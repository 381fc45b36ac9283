// Prints what AsyncAPI's own parser says of a document: one line a diagnostic, 0 is an error.
const [parser, file] = process.argv.slice(2);
const { Parser } = require(parser);
const text = require("fs").readFileSync(file, "utf8");

new Parser().parse(text).then(({ document, diagnostics }) => {
  for (const { severity, message, path } of diagnostics) {
    console.log(`${severity} ${path.join(".")}: ${message}`);
  }
  console.log(`channels ${document ? document.channels().all().length : "none"}`);
});
