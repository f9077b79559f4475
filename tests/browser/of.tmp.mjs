import { chromium } from "playwright-core";
const b = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox","--disable-gpu"] });
const p = await b.newPage(); await p.goto("file://"+process.argv[2]); await p.emulateMedia({media:"print"}); await p.setViewportSize({width:+process.argv[3],height:1000});
console.log(await p.evaluate(() => { const w = innerWidth; return [...document.querySelectorAll("*")].filter(e => e.getBoundingClientRect().right > w+1).slice(0,12).map(e => e.tagName+"#"+e.id+"."+e.className+" "+Math.round(e.getBoundingClientRect().right)+" "+e.textContent.slice(0,40).trim()) }));
await b.close();
