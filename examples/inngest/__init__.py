"""A worker that Inngest calls: it implements, reviews and tests the sprints of projects."""
