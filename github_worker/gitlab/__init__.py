"""GitLab's API: a project, its merge requests, their pipelines."""
