import { chromium } from "playwright-core";
import { readFileSync, writeFileSync } from "node:fs";
const b = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox","--disable-gpu"] });
const html = readFileSync(process.argv[2],"utf8").replace(/<meta http-equiv="Content-Security-Policy"[^>]*>/,"");
for (const [label, css, js] of [["as is","",1],["break-all","bdi.long{word-break:break-all!important}",1],["break-all all","bdi{word-break:break-all!important}",1],["block+break-all","bdi.long{word-break:break-all!important;display:block!important;max-height:6em;overflow:hidden}",1],["lineclamp none","bdi.long{display:block!important;max-height:6em;overflow:hidden}",1],["contain","bdi.long{contain:inline-size;width:14rem;word-break:break-all}",1],["font","bdi.long{font-family:monospace}",1]]) {
 writeFileSync("/tmp/page/v.html", html.replace("</style>", css+"</style>"));
 const ctx = await b.newContext({ viewport: { width: 1280, height: 900 }, javaScriptEnabled: !!js }); const p = await ctx.newPage();
 const t0 = Date.now(); await p.goto("file:///tmp/page/v.html");
  await p.evaluate(() => document.body.getBoundingClientRect().height);
 console.log(label, "ready+layout", Date.now()-t0);
 await ctx.close();
}
await b.close();
