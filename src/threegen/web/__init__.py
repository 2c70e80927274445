"""The live page: `threegen play` draws, answers, explains, trains and compares in the browser, offline."""
