// One file comes out: the page paints from one request. Script and style stand in it, allowed by their hashes alone, which is
// stricter than allowing a whole origin; the policy is written beside the page, for whoever serves it.

import { createHash } from "node:crypto";
import { defineConfig } from "vite";
import { fingerprint } from "./sources.mjs";

const allowed = (text) => `'sha256-${createHash("sha256").update(text).digest("base64")}'`;

function oneFile() {
  return {
    name: "one-file",
    enforce: "post",
    generateBundle(_, bundle) {
      const files = Object.values(bundle);
      const page = files.find((file) => file.fileName === "index.html");
      const script = files.find((file) => file.type === "chunk");
      const style = files.find((file) => file.fileName.endsWith(".css"));
      if (!page || !script || !style || files.length !== 3) this.error(`expected a page, a script and a style, not ${files.map((file) => file.fileName)}`);
      const code = script.code.replaceAll("</script", "<\\/script").trim();
      const css = String(style.source).trim();
      const html = String(page.source)
        .replace(/\s*<link rel="stylesheet"[^>]*>/, () => `\n<style>${css}</style>`)
        .replace(/\s*<script type="module"[^>]*><\/script>/, () => "")
        .replace("</body>", () => `<script type="module">${code}</script>\n</body>`);
      if (html.includes(script.fileName) || html.includes(style.fileName)) this.error("the page still refers to another file");
      for (const file of files) delete bundle[file.fileName];
      const policy = `default-src 'none'; script-src ${allowed(code)}; style-src ${allowed(css)}; img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`;
      this.emitFile({ type: "asset", fileName: "index.html", source: html });
      this.emitFile({ type: "asset", fileName: "policy.txt", source: policy });
      this.emitFile({ type: "asset", fileName: "sources.txt", source: fingerprint() });
    },
  };
}

// The output folder is not emptied: it holds the .gitignore that keeps it in git, and three files that are written over.
export default defineConfig({
  plugins: [oneFile()],
  build: { target: "es2022", emptyOutDir: false, modulePreload: false, cssCodeSplit: false, assetsInlineLimit: 0, reportCompressedSize: true },
  server: { proxy: { "/api": process.env.DRIFTLINE ?? "http://127.0.0.1:8070" } },
});
