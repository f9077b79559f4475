import { chromium } from "playwright-core";
const [,, file, prefix, ...modes] = process.argv;
const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox","--disable-gpu","--disable-quic","--no-first-run","--disable-background-networking","--disable-component-update","--disable-sync"] });
for (const mode of modes) {
  const [w, scheme] = mode.split("-");
  const ctx = await browser.newContext({ viewport: { width: +w, height: 1000 }, colorScheme: scheme === "dark" ? "dark" : "light", javaScriptEnabled: scheme !== "nojs" });
  const page = await ctx.newPage();
  page.on("console", m => console.log("console", m.text())); page.on("pageerror", e => console.log("error", e.message));
  await page.goto("file://" + file);
  const h = await page.evaluate(() => document.documentElement.scrollHeight);
  console.log(mode, "height", h, "overflow", await page.evaluate(() => document.documentElement.scrollWidth - innerWidth));
  const step = 2400; let i = 0;
  await page.setViewportSize({ width: +w, height: step });
  for (let y = 0; y < Math.min(h, 24000); y += step, i++) { await page.evaluate((y) => scrollTo({top: y, behavior: "instant"}), y); await page.waitForTimeout(80); await page.screenshot({ path: `${prefix}-${mode}-${i}.png` }); }
  if (scheme === "light" && w === "1600") await page.pdf({ path: `${prefix}-a4.pdf`, format: "A4", preferCSSPageSize: false });
  await ctx.close();
}
await browser.close();
