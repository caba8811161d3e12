"""What .ci/hostile sends. Each attack is a function that takes the target and fails with words."""
