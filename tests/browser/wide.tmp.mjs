import { chromium } from "playwright-core";
const b = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox","--disable-gpu"] });
for (const w of [1600,1440,1280,800]) { const p = await b.newPage({ viewport: { width: w, height: 900 } }); await p.goto("file://"+process.argv[2]);
console.log(w, await p.evaluate(() => [...document.querySelectorAll(".t")].map(t => [t.firstChild.id, t.scrollWidth - t.clientWidth]).filter(x => x[1] > 0).join("  "))); }
await b.close();
