import { chromium } from "playwright-core";
import { readFileSync, writeFileSync } from "node:fs";
const b = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox","--disable-gpu"] });
const html = readFileSync(process.argv[2],"utf8").replace(/<meta http-equiv="Content-Security-Policy"[^>]*>/,"");
for (const [label, css, js] of [["as is","",1],["as is","",1],["nojs","",0],["no clamp","bdi.long{display:block!important;max-height:5em}",1],["nojs block","html:not(.js) section{content-visibility:visible!important}",0],["td.x","td.x>bdi,td.k>bdi{overflow-wrap:break-word!important}",1],["any","bdi{overflow-wrap:anywhere!important}",1],["fixed","table{table-layout:fixed!important}",1],["no i","i{display:none!important}",1],["nolong","bdi.long{display:none!important}",1],["no a","tbody a{display:none}",1],["no dl","dl{display:none!important}",1],["no bdi in table","table bdi{display:none!important}",1]]) {
 writeFileSync("/tmp/page/v.html", html.replace("</style>", css+"</style>"));
 const ctx = await b.newContext({ viewport: { width: 1280, height: 900 }, javaScriptEnabled: !!js }); const p = await ctx.newPage();
 const t0 = Date.now(); await p.goto("file:///tmp/page/v.html", {waitUntil:"commit"}); 
 await p.evaluate(() => new Promise(r => document.readyState==="complete"?r():addEventListener("load",r))); await p.evaluate(() => document.body.getBoundingClientRect().height);
 console.log(label, "ready+layout", Date.now()-t0);
 await ctx.close();
}
await b.close();
