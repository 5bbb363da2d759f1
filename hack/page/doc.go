// Package page tests the aggregator's page in headless Chromium, through the real processes. It has no code of its own;
// its go.mod keeps the browser's driver out of the product's.
//
// The tests are skipped where no Chromium is found: Debian's package chromium is what they were written with. Screenshots
// go to out/page.
package page
