"""What a measured table looks like to a reader: Markdown and a chart."""

from __future__ import annotations

from bench.report.chart import write_chart as write_chart
from bench.report.curve import write_curve as write_curve
from bench.report.markdown import write_markdown as write_markdown
